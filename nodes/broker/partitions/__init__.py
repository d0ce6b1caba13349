"""The partitions that this broker hosts: each a replica, which has a core and a log.

``assignments`` is what the image asks; ``log_shelf`` opens and removes logs, ``log_moves`` moves
them.  ``fetchers`` follow leaders, ``isr_changes`` and ``failed_replicas`` tell the controller.
``upkeep``, ``log_starts``, ``retention`` and ``cleaner`` are the work of quiet hours.
"""
