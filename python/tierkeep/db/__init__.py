"""What a database tells of itself: statements, tables, indexes, plans and advice.

Plans and advice are made by the command `tierkeep doctor`, which is in the wheel and is run as a program; here are its
answers as Python values.
"""

from __future__ import annotations

from tierkeep.db._doctor import DatabaseMonitoring, DoctorError, IndexOptimization, address_of

__all__ = ["DatabaseMonitoring", "DoctorError", "IndexOptimization", "address_of"]
