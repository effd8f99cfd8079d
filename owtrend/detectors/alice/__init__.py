"""Detectors of ALICE: EMC, TPC, HLT and V0, as in Run 2."""
