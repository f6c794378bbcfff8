"""The method, section 1.1 and Algorithms 1 to 3: posterior, Bayes factor, masks, gates, schedules, decisions.

On one network; no stack is needed. May import: config, models, engine.
"""
