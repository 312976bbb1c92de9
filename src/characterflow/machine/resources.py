"""What a job asks of a scheduler: host memory and time, from its model's size and the attempt.

They are requests with room to spare, not predictions: `characterflow plan` predicts.
"""

LEAST_MEMORY = 12_000  # MB: the interpreter, its libraries, a stage's data
MEMORY_A_BILLION = 2_500  # MB: a billion weights in 16 bits, and a quarter
LEAST_MINUTES = 30
BILLIONS = 8  # the size of the model that a rule's minutes are stated for


def memory(billions: float, processes: int, attempt: int) -> int:
    """MB of host memory for a model of so many billions of parameters, loaded by each of the processes."""
    return attempt * round(LEAST_MEMORY + MEMORY_A_BILLION * billions * processes)


def minutes(stated: float, billions: float, gpus: int, attempt: int) -> int:
    """Minutes of a job that takes the stated ones for a model of 8 billion parameters on one GPU.

    They grow with the model and shrink with its GPUs, to half an hour at least.
    """
    return attempt * max(LEAST_MINUTES, round(stated * billions / BILLIONS / max(1, gpus)))
