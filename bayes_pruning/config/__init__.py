"""What a run is: the schema of its config, its identity, named random streams, errors that a user can mend.

Of the paper: the experimental setup, and each point that the paper leaves open as a field of the protocol.
May import nothing else of this package.
"""
