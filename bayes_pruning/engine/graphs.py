"""Many small operations as one launch: CUDA graphs.

An epoch of a stack is a thousand steps of some dozen kernels that last microseconds. Launched one by one from Python
they leave a GPU idle most of the time; recorded once and replayed they do not.
"""

from collections.abc import Callable, Hashable

import torch

WARM_UPS = 3  # plain calls before a recording: libraries choose their kernels


class Replayed:
    """A function that is called again and again; on a GPU it is recorded, and then replayed.

    Args:
        function: without arguments or result. It works on tensors that stay where they are and never waits for the
            device. Its first calls are plain ones, so each call does the work once, recorded or not.
        device: of its tensors.
        version: when its result changes, the function does something else and is recorded anew.
    """

    def __init__(
        self, function: Callable[[], None], device: torch.device, version: Callable[[], Hashable] = lambda: None
    ) -> None:
        self.function, self.device, self.version = function, device, version
        self.graph: torch.cuda.CUDAGraph | None = None
        self.calls, self.recorded_version = 0, version()

    def __call__(self) -> None:
        """Do the function's work once."""
        if self.device.type != "cuda":
            self.function()
            return
        if self.recorded_version != self.version():
            self.graph, self.calls, self.recorded_version = None, 0, self.version()
        if self.calls < WARM_UPS:
            self.calls += 1
            on_another_stream(self.function, self.device)
            return
        self.graph = self.graph or recorded(self.function, self.device)
        self.graph.replay()


def on_another_stream(function: Callable[[], None], device: torch.device) -> None:
    """Call `function` as a recording calls it, where it runs in order with all before and after."""
    current, other = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    other.wait_stream(current)
    with torch.cuda.stream(other):
        function()
    current.wait_stream(other)


def recorded(function: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph:
    """Return a recording of `function` on its device; this does not do its work."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
        function()
    return graph
