"""A T-maze in JAX: a corridor whose beginning says which way to turn at its end.

The agent starts at the end of a corridor and sees a signal, north or south. After `length` steps to
the east it stands at a junction, where one turn gives 4 and the other −0.1 and both end the
episode. Walking into a wall costs 0.1. On the way and at the junction it sees nothing of the
signal, so that a policy without memory is right half the time. Who has not turned after
4 · length moves has failed. Source: Bakker 2002, "Reinforcement learning with long short-term
memory", section 4.1 (the limit of moves is ours).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.types import Array, Key

MOVES = ("north", "east", "south", "west")
NORTH, SOUTH = (0.0, 1.0, 1.0), (1.0, 1.0, 0.0)
CORRIDOR, JUNCTION = (1.0, 0.0, 1.0), (0.0, 1.0, 0.0)


class Maze(NamedTuple):
    """Where the agents are, whether their goals are north, and how many moves they have made.

    position: 0 at the start, `length` at the junction; each `(mazes,)`.
    """

    position: Array
    north: Array
    clock: Array


class Outcome(NamedTuple):
    """What a move leads to: the reward, whether the episode has ended, and whether at the goal."""

    reward: Array
    done: Array
    right: Array


def start(key: Key, mazes: int) -> Maze:
    """Every agent at the beginning of its corridor, the goal on either side."""
    zeros = jnp.zeros(mazes, jnp.int32)
    return Maze(zeros, jax.random.bernoulli(key, 0.5, (mazes,)), zeros)


def observe(maze: Maze, length: int) -> Array:
    """What the agents see, `(mazes, 3)`.

    >>> north = jnp.array([True, False, True, True])
    >>> maze = Maze(jnp.array([0, 0, 5, 9]), north, jnp.zeros(4, int))
    >>> observe(maze, length=9).astype(int).tolist()
    [[0, 1, 1], [1, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    signal = jnp.where(maze.north[:, None], jnp.array([NORTH]), jnp.array([SOUTH]))
    position = maze.position[:, None]
    ahead = jnp.where(position == length, jnp.array([JUNCTION]), jnp.array([CORRIDOR]))
    return jnp.where(position == 0, signal, ahead)


def move(maze: Maze, action: Array, length: int) -> tuple[Maze, Outcome]:
    """The mazes after one move each; `action` `(mazes,)` is a place in `MOVES`.

    >>> maze = Maze(jnp.array([9, 9]), jnp.array([True, False]), jnp.array([9, 9]))
    >>> _, outcome = move(maze, jnp.array([0, 0]), length=9)        # both turn north
    >>> outcome.reward.round(1).tolist(), outcome.done.tolist(), outcome.right.tolist()
    ([4.0, -0.10000000149011612], [True, True], [True, False])
    """
    east, west = action == MOVES.index("east"), action == MOVES.index("west")
    walked = maze.position + east - west.astype(jnp.int32)
    position = jnp.clip(walked, 0, length)
    turned = (maze.position == length) & ~east & ~west
    right = turned & ((action == MOVES.index("north")) == maze.north)
    reward = jnp.where(right, 4.0, jnp.where(position == maze.position, -0.1, 0.0))
    clock = maze.clock + 1
    return Maze(position, maze.north, clock), Outcome(reward, turned | (clock >= 4 * length), right)
