"""Learning statistics in Python: the guide's services over a running node, and the Django app ``tierkeep.learning``.

``tierkeep.learning.client`` needs no Django. Nothing is imported here, so that ``INSTALLED_APPS`` stays cheap.
"""
