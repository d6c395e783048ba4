#!/usr/bin/env bash
# Trains everything that the tables of results hold: `benchmarks/reproduce.sh FOLDER [PARALLEL]`.
# Each run has one thread; PARALLEL runs go at a time (default 1, so that their seconds can be compared).
set -euo pipefail

out=${1:?usage: benchmarks/reproduce.sh FOLDER [PARALLEL]}
export OMP_NUM_THREADS=1

runs() {
    for seed in 0 1 2 3 4; do
        for policy in CompressiveMemoryPolicy MlpPolicy; do
            echo "--env MemoryAgents/TMaze-v0 --env-kwargs corridor=100 --total-timesteps 147456 --policy $policy \
                --seed $seed --out $out/tmaze-100/$policy-s$seed"
            echo "--env MemoryAgents/ObjectMatching-v0 --total-timesteps 300000 --policy $policy \
                --seed $seed --out $out/object-matching/$policy-s$seed"
        done
    done
}

runs | xargs -P "${2:-1}" -L 1 "${PYTHON:-python}" -m memory_agents.benchmarks train \
    --device cpu --threads 1 --no-progress --overwrite
