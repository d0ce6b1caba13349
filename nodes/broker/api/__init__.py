"""Requests about the cluster that are answered from the image, or handed on to the controller."""
