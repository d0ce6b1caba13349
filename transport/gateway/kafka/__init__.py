"""Kafka's wire protocol: frames, headers, and messages declared once for all their versions.

A message is a class of annotated fields (``messages/``), compiled for a version when that is first
spoken (``schema``); ``apis`` is the table of what is spoken.  Record sets are neither copied nor looked
into.  Source: Apache Kafka protocol guide; KIP-482 (flexible versions).
"""
