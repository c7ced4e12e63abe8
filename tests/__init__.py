"""Tests: they mirror the rooms of gateway/, and beside them stand whole clients, attacks, faults and crashes."""
