"""The public client of Odradek: producer, consumer, admin and coordination."""

__version__ = "0.1.0"
