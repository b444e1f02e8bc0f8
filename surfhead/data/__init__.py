"""Data sets as a run uses them: opening, checking, feeding."""
