"""One thread for matrices.

Those of a fit have some hundred rows and columns, too few for the threads of a BLAS, which wait busily for one another
and for those of jax: an update of six pairs took 9 s with two threads on two idle cores, and 0.8 s with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

VARIABLE = "OPENBLAS_NUM_THREADS"
"""What numpy's and scipy's BLAS reads when it is loaded."""


@contextmanager
def one_thread() -> Iterator[None]:
    """A context, or with brackets a decorator: the BLAS of this process has one thread, and then as many as before.

    >>> import numpy
    >>> from threadpoolctl import threadpool_info
    >>> with one_thread():
    ...     print({one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})
    {1}
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
