"""Machinery: checks, factories, meshes, primitives."""
