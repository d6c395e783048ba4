"""The physics of Gymnasium's classic control for many copies at once, the same to the bit, with positions seen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import repeat
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


class Beginnings(NamedTuple):
    """How episodes begin.

    :param states: What moves, ``(episodes, n_numbers)``.
    :param seen: The first observations, ``(episodes, n_positions)``.
    """

    states: NDArray[np.float64]
    seen: NDArray[np.float32]


class Moved(NamedTuple):
    """What a step comes to.

    :param states: What moves, ``(n_numbers, n_envs)``.
    :param seen: The observations, ``(n_envs, n_positions)``.
    :param rewards: Rewards, ``(n_envs,)``.
    :param terminated: Whether the task is over, ``(n_envs,)``.
    """

    states: NDArray[np.float64]
    seen: NDArray[np.float32]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]


class Physics(ABC):
    """How one of Gymnasium's environments begins and moves, without its velocities.

    Every operation is Gymnasium's, in its order and its precision, so that no rounding differs: with NumPy 2, by whose
    rules single numbers are as precise as arrays, and where its functions round single numbers as they round arrays.

    :param env: The environment, whose constants count.
    """

    #: Uniform numbers that a beginning takes.
    draws: int

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env: Any = env.unwrapped

    @abstractmethod
    def begin(self, uniforms: NDArray[np.float64]) -> Beginnings:
        """Return how episodes begin.

        :param uniforms: Uniform numbers, ``(episodes, draws)``.
        """

    @abstractmethod
    def move(self, states: NDArray[np.float64], actions: Numbers, first: NDArray[np.bool_]) -> Moved:
        """Return what a step comes to.

        :param states: What moves, ``(n_numbers, n_envs)``.
        :param actions: One action each.
        :param first: Whose episode has just begun, ``(n_envs,)``.
        """


def between(low: float | Numbers, high: float | Numbers, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what ``Generator.uniform(low, high)`` makes of uniform numbers from 0 to 1."""
    numbers: NDArray[np.float64] = low + (high - low) * uniforms
    return numbers


def squares(numbers: Numbers) -> Numbers:
    """Return the squares as NumPy has them for single numbers; those of arrays differ in the last bit now and then."""
    if numbers.dtype == np.float64:
        # The same function of C, with less around it.
        return np.fromiter(map(math.pow, numbers.tolist(), repeat(2.0)), np.float64, len(numbers))
    return np.fromiter([number**2 for number in numbers], numbers.dtype, len(numbers))


def columns(*numbers: Numbers) -> NDArray[np.float32]:
    """Return observations of these numbers, ``(n_envs, n_positions)``."""
    seen = np.empty((len(numbers[0]), len(numbers)), np.float32)
    for place, values in enumerate(numbers):
        seen[:, place] = values
    return seen


class CartPole(Physics):
    """A pole on a cart: the position and the speed of the cart, the angle and the angular speed of the pole."""

    draws = 4

    def begin(self, uniforms: NDArray[np.float64]) -> Beginnings:
        states = between(-0.05, 0.05, uniforms)
        return Beginnings(states, states[:, ::2].astype(np.float32))

    def move(self, states: NDArray[np.float64], actions: Numbers, first: NDArray[np.bool_]) -> Moved:
        env = self.env
        position, speed, angle, spin = states
        cosine, sine = np.cos(angle), np.sin(angle)
        force = np.where(actions == 1, env.force_mag, -env.force_mag)
        push = (force + env.polemass_length * np.square(spin) * sine) / env.total_mass
        lever = env.length * (4.0 / 3.0 - env.masspole * np.square(cosine) / env.total_mass)
        angular = (env.gravity * sine - cosine * push) / lever
        linear = push - env.polemass_length * angular * cosine / env.total_mass
        moved = np.empty_like(states)
        np.add(position, env.tau * speed, out=moved[0])
        np.add(speed, env.tau * linear, out=moved[1])
        np.add(angle, env.tau * spin, out=moved[2])
        np.add(spin, env.tau * angular, out=moved[3])
        terminated = (np.abs(moved[0]) > env.x_threshold) | (np.abs(moved[2]) > env.theta_threshold_radians)
        rewards = np.where(terminated, -1.0, 0.0) if env._sutton_barto_reward else np.ones(len(angle))
        return Moved(moved, moved[::2].T.astype(np.float32), rewards, terminated)


class Pendulum(Physics):
    """A pendulum: its angle and its angular speed."""

    draws = 2

    def begin(self, uniforms: NDArray[np.float64]) -> Beginnings:
        high = np.array([np.pi, 1.0])
        states = between(-high, high, uniforms)
        return Beginnings(states, self._seen(states[:, 0]))

    def _seen(self, angle: NDArray[np.float64]) -> NDArray[np.float32]:
        return columns(np.cos(angle), np.sin(angle))

    def move(self, states: NDArray[np.float64], actions: Numbers, first: NDArray[np.bool_]) -> Moved:
        env = self.env
        angle, speed = states
        torque = np.clip(actions[:, 0], -env.max_torque, env.max_torque)
        off = ((angle + np.pi) % (2 * np.pi)) - np.pi
        costs = squares(off) + 0.1 * squares(speed) + 0.001 * squares(torque)
        fall = 3 * env.g / (2 * env.l) * np.sin(angle)
        moved = np.empty_like(states)
        turned = speed + (fall + 3.0 / (env.m * env.l**2) * torque) * env.dt
        np.clip(turned, -env.max_speed, env.max_speed, out=moved[1])
        np.add(angle, moved[1] * env.dt, out=moved[0])
        return Moved(moved, self._seen(moved[0]), -costs, np.zeros(len(angle), np.bool_))


class MountainCarContinuous(Physics):
    """A car in a valley: its position and its speed, which Gymnasium rounds to single precision after every step."""

    draws = 1

    def begin(self, uniforms: NDArray[np.float64]) -> Beginnings:
        position = between(-0.6, -0.4, uniforms)
        return Beginnings(np.concatenate((position, np.zeros_like(position)), axis=1), position.astype(np.float32))

    def move(self, states: NDArray[np.float64], actions: Numbers, first: NDArray[np.bool_]) -> Moved:
        chosen = actions[:, 0]
        rounded = states.astype(np.float32)
        position, velocity, arrived = self._roll(rounded[0], rounded[1], chosen)
        moved = np.empty_like(states)
        moved[:] = position, velocity
        if first.any():
            # An episode begins in double precision.
            beginning = np.flatnonzero(first)
            *rolled, arrived[beginning] = self._roll(states[0, beginning], states[1, beginning], chosen[beginning])
            moved[:, beginning] = np.array(rolled, np.float32)
        rewards = np.where(arrived, 100.0, 0.0) - np.square(chosen.astype(np.float64)) * 0.1
        return Moved(moved, moved[:1].T.astype(np.float32), rewards, arrived)

    def _roll(self, position: Numbers, velocity: Numbers, actions: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        env, kind = self.env, position.dtype
        slope = 0.0025 * np.cos((3 * position).astype(np.float64))
        weak = np.clip(actions, env.min_action, env.max_action) * env.power - slope.astype(actions.dtype)
        # Where Gymnasium takes a bound for the force it goes on in double precision.
        beyond = (actions < env.min_action) | (actions > env.max_action)
        if beyond.any():
            strong = np.where(actions > env.max_action, env.max_action, env.min_action) * env.power - slope
            weak = np.where(beyond, strong.astype(kind), weak)
        velocity = np.clip(velocity + weak, -env.max_speed, env.max_speed)
        position = np.clip(position + velocity, env.min_position, env.max_position)
        velocity = np.where((position == env.min_position) & (velocity < 0), 0, velocity)
        return position, velocity, (position >= env.goal_position) & (velocity >= env.goal_velocity)


class Acrobot(Physics):
    """Two links: their angles, then the angles' velocities."""

    draws = 4

    def begin(self, uniforms: NDArray[np.float64]) -> Beginnings:
        states = between(-0.1, 0.1, uniforms).astype(np.float32)
        return Beginnings(states.astype(np.float64), self._seen(*states[:, :2].T))

    def _seen(self, one: Numbers, other: Numbers) -> NDArray[np.float32]:
        return columns(np.cos(one), np.sin(one), np.cos(other), np.sin(other))

    def move(self, states: NDArray[np.float64], actions: Numbers, first: NDArray[np.bool_]) -> Moved:
        env = self.env
        torques = np.asarray(env.AVAIL_TORQUE, np.float64)[actions]
        dt, half = env.dt, env.dt / 2.0
        k1 = self._derivatives(states, torques)
        k2 = self._derivatives(states + half * k1, torques)
        k3 = self._derivatives(states + half * k2, torques)
        k4 = self._derivatives(states + dt * k3, torques)
        moved = states + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        for angle in moved[:2]:
            while (beyond := angle > np.pi).any():
                angle[beyond] -= 2 * np.pi
            while (beyond := angle < -np.pi).any():
                angle[beyond] += 2 * np.pi
        for velocity, fastest in zip(moved[2:], (env.MAX_VEL_1, env.MAX_VEL_2), strict=True):
            np.clip(velocity, -fastest, fastest, out=velocity)
        one, other = moved[:2]
        seen = self._seen(one, other)
        terminated = -np.cos(one) - np.cos(other + one) > 1.0
        return Moved(moved, seen, np.where(terminated, 0.0, -1.0), terminated)

    def _derivatives(self, states: NDArray[np.float64], torques: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how fast the state changes, by the equations of Sutton and Barto's book."""
        env = self.env
        m1, m2, l1 = env.LINK_MASS_1, env.LINK_MASS_2, env.LINK_LENGTH_1
        lc1, lc2, inertia, g = env.LINK_COM_POS_1, env.LINK_COM_POS_2, env.LINK_MOI, 9.8
        one, other, spin, other_spin = states
        cosine, sine = np.cos(other), np.sin(other)
        d1 = m1 * lc1**2 + m2 * (l1**2 + lc2**2 + 2 * l1 * lc2 * cosine) + inertia + inertia
        d2 = m2 * (lc2**2 + l1 * lc2 * cosine) + inertia
        phi2 = m2 * lc2 * g * np.cos(one + other - np.pi / 2.0)
        swing = -m2 * l1 * lc2 * squares(other_spin) * sine
        coupling = 2 * m2 * l1 * lc2 * other_spin * spin * sine
        phi1 = swing - coupling + (m1 * lc1 + m2 * l1) * g * np.cos(one - np.pi / 2) + phi2
        pull = torques + d2 / d1 * phi1 - m2 * l1 * lc2 * squares(spin) * sine - phi2
        derivatives = np.empty_like(states)
        derivatives[0], derivatives[1] = spin, other_spin
        derivatives[3] = faster = pull / (m2 * lc2**2 + inertia - squares(d2) / d1)
        np.divide(-(d2 * faster + phi1), d1, out=derivatives[2])
        return derivatives
