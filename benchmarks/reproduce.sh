#!/usr/bin/env bash
# Trains everything that the tables of results hold: `benchmarks/reproduce.sh FOLDER [PARALLEL [SECTION...]]`.
# Sections: environments, compression-rate, more-environments, suites, cores, gates, half-precision, copy-first,
# judger, judger-delays (which evaluates the agents of judger), masking, off-policy, algorithmic, characters,
# characters-mean, characters-short, compressions, denoising; all by default. Each run has one thread; PARALLEL runs
# go at a time (default 1). A run whose results are there is not repeated, so an interrupted sweep goes on where it stopped.
set -euo pipefail

out=${1:?usage: benchmarks/reproduce.sh FOLDER [PARALLEL [SECTION...]]}
parallel=${2:-1}
sections=("${@:3}")
[ ${#sections[@]} -gt 0 ] || sections=(environments compression-rate more-environments suites cores gates half-precision copy-first judger judger-delays masking off-policy algorithmic characters characters-mean characters-short compressions denoising)
export OMP_NUM_THREADS=1

# job FOLDER ARGUMENTS...: one line for the queue.
job() {
    local folder=$out/$1
    shift
    [ -e "$folder/evaluation.json" ] ||
        echo train --device cpu --threads 1 --no-progress --overwrite "$@" --out "$folder"
}

# both NAME ENV STEPS KWARGS SEED [OPTION...]: the library's defaults, with memory and without.
both() {
    for policy in CompressiveMemoryPolicy MlpPolicy; do
        job "environments/$1/$policy-s$5" --env "$2" --env-kwargs "'$4'" --total-timesteps "$3" --policy $policy \
            --seed "$5" "${@:6}"
    done
}

environments() {
    local seed
    for seed in 0 1 2; do
        both object-matching-original MemoryAgents/ObjectMatching-v0 300000 '{"sample": "episode"}' $seed
        both delayed-match MemoryAgents/DelayedMatch-v0 300000 '{"set_size": 2}' $seed
        both repeat-first MemoryAgents/RepeatFirst-v0 150000 '{}' $seed
        both repeat-previous MemoryAgents/RepeatPrevious-v0 250000 '{"k": 4}' $seed
        both associative-recall MemoryAgents/AssociativeRecall-v0 200000 '{"n_pairs": 4}' $seed
        both cue-stream MemoryAgents/CueStream-v0 200000 '{}' $seed
    done
    for seed in 0 1 2 3 4; do
        both object-matching MemoryAgents/ObjectMatching-v0 300000 '{}' $seed
        both tmaze-100 MemoryAgents/TMaze-v0 147456 '{"corridor": 100}' $seed
    done
}

more-environments() {
    local seed
    for seed in 0 1 2; do
        both copy-first MemoryAgents/CopyFirst-v0 150000 '{}' $seed
        both copy MemoryAgents/Copy-v0 200000 '{}' $seed
        both reverse MemoryAgents/Reverse-v0 200000 '{}' $seed
        both visual-match MemoryAgents/VisualMatch-v0 300000 '{}' $seed
        both key-to-door MemoryAgents/KeyToDoor-v0 200000 '{}' $seed
        both object-matching-grid MemoryAgents/ObjectMatchingGrid-v0 300000 '{}' $seed
        both concentration MemoryAgents/Concentration-v0 200000 '{}' $seed
        both hidden-goal MemoryAgents/HiddenGoal-v0 200000 '{}' $seed --normalize-reward
        both cartpole MemoryAgents/CartPoleNoVelocity-v0 100000 '{}' $seed --normalize-reward
        both pendulum MemoryAgents/PendulumNoVelocity-v0 300000 '{}' $seed --normalize-reward
        both acrobot MemoryAgents/AcrobotNoVelocity-v0 150000 '{}' $seed --normalize-reward
        both mountain-car MemoryAgents/MountainCarContinuousNoVelocity-v0 150000 '{}' $seed --normalize-reward
    done
}

# The delay is longer than rate 1, or a GTrXL of the same memory, can reach even through both layers (64
# steps), and within the reach of one layer at rate 4 (80 steps).
compression-rate() {
    local seed rate
    for seed in 0 1 2 3 4; do
        for rate in 1 2 4 8; do
            delayed "rate-$rate-s$seed" $seed \
                "{\"memory_length\": 16, \"compressed_length\": 16, \"compression_rate\": $rate}"
        done
        delayed "transformer-xl-s$seed" $seed '{"memory_length": 32, "compressed_length": 0}'
    done
}

delayed() {
    job "compression-rate/$1" --env MemoryAgents/ObjectMatching-v0 --total-timesteps 250000 --seed "$2" \
        --env-kwargs "'{\"n_shapes\": 4, \"delay\": 70, \"sample\": \"episode\"}'" --memory-kwargs "'$3'" \
        --algorithm-kwargs n_epochs=8
}

suites() {
    local seed
    for seed in 0 1 2; do
        job "suites/popgym-RepeatPreviousEasy-s$seed" --env popgym-RepeatPreviousEasy-v0 --total-timesteps 200000 \
            --seed $seed
        job "suites/MiniGrid-MemoryS7-s$seed" --env MiniGrid-MemoryS7-v0 --total-timesteps 200000 --seed $seed \
            --algorithm-kwargs n_epochs=8
    done
}

# Every core and preset, and no memory. All tasks of one seed come before those of the next.
cores() {
    local seed
    for seed in 0 1 2; do
        cores-on tmaze-50 MemoryAgents/TMaze-v0 80000 '{"corridor": 50}' $seed
        cores-on object-matching MemoryAgents/ObjectMatching-v0 250000 '{}' $seed
        cores-on repeat-first MemoryAgents/RepeatFirst-v0 100000 '{}' $seed
    done
}

# cores-on NAME ENV STEPS KWARGS SEED
cores-on() {
    local name
    for name in CompressiveMemoryPolicy GTrXLPolicy TransformerXLPolicy CompressiveTransformerPolicy MlpPolicy; do
        core "$@" $name --policy $name
    done
    for name in lstm gru brc nbrc rmt memformer block_recurrent; do
        core "$@" $name --policy MemoryPolicy --memory-class $name
    done
}

# core NAME ENV STEPS KWARGS SEED AGENT OPTION...
core() {
    job "cores/$1/$6-s$5" --env "$2" --env-kwargs "'$4'" --total-timesteps "$3" --seed "$5" "${@:7}"
}

gates() {
    local seed gate
    for seed in 0 1 2 3 4; do
        for gate in none input output highway sigtanh gru nbrc; do
            gate $gate $seed "{\"gating\": \"$gate\"}"
        done
        gate post-norm $seed '{"gating": "none", "norm": "post"}'
    done
}

# gate NAME SEED KWARGS
gate() {
    job "gates/$1-s$2" --env MemoryAgents/ObjectMatching-v0 --total-timesteps 200000 --seed "$2" --memory-kwargs "'$3'"
}

half-precision() {
    local seed width
    for seed in 0 1 2; do
        for width in 64 128; do
            precision "width-$width-float32-s$seed" $width $seed
            precision "width-$width-bfloat16-s$seed" $width $seed --policy-kwargs autocast=bfloat16
        done
    done
}

# precision NAME WIDTH SEED [OPTION...]
precision() {
    job "half-precision/$1" --env MemoryAgents/ObjectMatching-v0 --total-timesteps 120000 --seed "$3" \
        --memory-kwargs d_model="$2" "${@:4}"
}

# Gradient steps through hundreds of numbers take hundreds of milliseconds, so long sequences get fewer of them. Each
# command also draws the runs that are there, so the last one draws all.
copy-first() {
    local seed
    for seed in 0 1 2; do
        regress --length 5 --length 100 --gradient-steps 500 --seed $seed
        regress --length 300 --length 600 --gradient-steps 300 --seed $seed
    done
}

# regress OPTION...
regress() {
    echo sequence copy-first --memory-class nbrc --memory-class brc --memory-class gru --memory-class lstm \
        --memory-kwargs "'{\"hidden_size\": 32, \"n_layers\": 2}'" "$@" --threads 1 --out "$out/copy-first"
}

# Rare cues in a long stream, asked for up to 100 steps later; four slots of two steps each beyond 16 recent steps. All
# learn to recall within the reach of a memory that keeps everything before they are asked for more. The first
# layer has no memory: queries would leave the answer in its outputs, for later steps to copy.
judger() {
    local seed
    for seed in 0 1 2 3 4; do
        judged judger $seed '"judger": true' --judger-kwargs warmup=120000
        judged keep $seed '"judger": "keep"'
        judged oracle $seed '"judger": "oracle"'
        judged random $seed '"judger": {"kind": "random", "probability": 0.1}'
        judged discard $seed '"judger": "discard"'
        cues "lstm-s$seed" $seed --policy MemoryPolicy --memory-class lstm
        judged perplexity $seed '"judger": true' --judger-kwargs "'{\"warmup\": 120000, \"reward\": \"perplexity\"}'"
    done
}

# judged NAME SEED JUDGER [OPTION...]
judged() {
    cues "$1-s$2" "$2" "${@:4}" \
        --memory-kwargs "'{\"memory_length\": [0, 16], \"compressed_length\": [0, 4], \"compression_rate\": 2, $3}'"
}

# With the default weight of the value loss two learned judgers of eight come undone.
# cues NAME SEED OPTION...
cues() {
    job "judger/$1" --env MemoryAgents/CueStream-v0 --total-timesteps 420000 --seed "$2" --normalize-reward \
        --pretrain-timesteps 120000 --pretrain-env-kwargs "'{\"delay\": [1, 24]}'" \
        --env-kwargs "'{\"delay\": [1, 100], \"length\": 512, \"query_rate\": 0.3}'" \
        --algorithm-kwargs "'{\"gamma\": 0.9, \"gae_lambda\": 0.5, \"vf_coef\": 0.5}'" "${@:3}"
}

# The same agents, asked much later.
judger-delays() {
    local seed agent
    for seed in 0 1 2 3 4; do
        for agent in judger keep lstm; do
            asked-after 1000 '[900, 1000]' 0.02 2048 32 $agent $seed
            asked-after 10000 '[9000, 10000]' 0.002 12000 16 $agent $seed
        done
    done
}

# asked-after NAME DELAY QUERY_RATE LENGTH EPISODES AGENT SEED
asked-after() {
    local file=$out/judger/$6-s$7/delay-$1.json
    [ -e "$file" ] || echo evaluate "$out/judger/$6-s$7" --threads 1 --out "$file" \
        --env-kwargs "'{\"delay\": $2, \"query_rate\": $3, \"length\": $4}'" --eval-episodes "$5"
}

# Walls, and cards that lie face up: the same network with masks and without, and masks without memory.
masking() {
    local seed
    for seed in 0 1 2; do
        masked tmaze MemoryAgents/TMaze-v0 60000 '{"auto_advance": false}' $seed
        masked concentration MemoryAgents/Concentration-v0 100000 '{"n_pairs": 2}' $seed
    done
}

# masked NAME ENV STEPS KWARGS SEED
masked() {
    masking-by "$@" masked --algorithm MaskablePPO
    masking-by "$@" unmasked --algorithm PPO
    masking-by "$@" memoryless --algorithm MaskablePPO --policy MlpPolicy
}

# masking-by NAME ENV STEPS KWARGS SEED AGENT OPTION...
masking-by() {
    job "masking/$1/$6-s$5" --env "$2" --env-kwargs "'$4'" --total-timesteps "$3" --seed "$5" "${@:7}"
}

# A corridor as long as most of a window, learned off-policy with memory and without.
off-policy() {
    local seed policy
    for seed in 0 1 2; do
        for policy in CompressiveMemoryPolicy MlpPolicy; do
            job "off-policy/$policy-s$seed" --env MemoryAgents/TMaze-v0 --env-kwargs "'{\"corridor\": 50}'" \
                --algorithm DQN --total-timesteps 60000 --policy $policy --seed $seed
        done
    done
}

# The tasks of the Recurrent Memory Transformer paper, all splits of it.
algorithmic() {
    local task
    for task in copy reverse retrieval quadratic; do
        echo sequence $task --agents none,xl,rmt --threads 1 --out "$out/sequence/algorithmic"
    done
}

# A pre-training serves all agents that go on from it, so a seed is one job.
characters() {
    local seed
    for seed in 0 1 2; do
        echo sequence characters --agents none,recent,narrow,xl,compressive,dct,keep,discard,random --seeds $seed \
            --threads 1 --out "$out/sequence/characters"
    done
}

# Slots that cost no parameters, beside MLPs as wide as those of memories without slots.
characters-mean() {
    local seed
    for seed in 0 1 2; do
        echo sequence characters --compression mean --d-feedforward 384 --agents compressive,keep,discard,random,dct \
            --seeds $seed --threads 1 --out "$out/sequence/characters-mean"
    done
}

# Memories so short that their reach is what is lacking; all have the same number of parameters.
characters-short() {
    local sizes="--segment 16 --memory-length 16 --compressed-length 32 --batch-size 64 --seeds 0 --threads 1"
    echo sequence characters --agents recent,xl $sizes --out "$out/sequence/characters-short"
    echo sequence characters --agents compressive --compression mean --d-feedforward 384 $sizes \
        --out "$out/sequence/characters-short"
}

compressions() {
    echo sequence characters --agents compressive --compression published --threads 1 --out "$out/sequence/characters"
}

denoising() {
    local seed
    for seed in 0 1 2; do
        echo sequence denoising --memory-class lstm --memory-class gru --memory-class brc --memory-class nbrc \
            --gradient-steps 1000 --validate-every 100 --seeds $seed --threads 1 --out "$out/sequence/denoising"
    done
}

for section in "${sections[@]}"; do
    "$section"
done | xargs -r -P "$parallel" -L 1 "${PYTHON:-python}" -m memory_agents.benchmarks
