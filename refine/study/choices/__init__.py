"""What a study leaves to refine: a file for each decision, pure functions that give a value and the reason in words.

`first` decides without dynamics; `refine.tasks.pilot` samples the base model and decides the rest. A key that the study
gives is never decided.
"""
