"""Layers, pure pairs from array to array, and their composition."""
