"""The admin client: topics, configs, groups, transactions and the cluster, asked and changed.

``client`` and its two ``…_administration`` halves are the blocking calls; ``engine`` is the program;
``questions`` finds who can answer; each of the others is one subject.
"""
