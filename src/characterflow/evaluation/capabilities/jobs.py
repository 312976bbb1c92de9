"""What general ability costs: each question is read with every answer behind the examples shown."""

from characterflow.configuration.costs import Asked, Job
from characterflow.evaluation.capabilities.settings import measured_methods
from characterflow.prompts.sizes import Run

POSITION = 80

# Questions of the public benchmarks, and answers to each whose likelihood is asked; and what is assumed of
# any other. MMLU's questions are those of all its subjects.
QUESTIONS = {
    "leaderboard|truthfulqa:mc": (817, 12),
    "leaderboard|winogrande": (1267, 2),
    "leaderboard|hellaswag": (10042, 4),
    "leaderboard|arc:challenge": (1172, 4),
    "leaderboard|mmlu": (14042, 4),
}
OTHER_QUESTIONS = (100, 4)
SUBJECTS = {"leaderboard|mmlu": 57}
QUESTION = 70  # tokens of a question with its answer


def jobs(run: Run) -> list[Job]:
    """Benchmarks of every base and adapter, after their data."""
    if "capabilities" not in run.settings["evaluation"]["include"]:
        return []
    what, file = _asked(run), "evaluation/capabilities"
    places = [("base_capabilities", model, model, f"{model}/{file}.json") for model in run.settings["models"]]
    places += [
        ("capabilities", f"{model}/{persona}/{name}", model, f"{model}/{persona}/{file}/{name}.json")
        for model, persona in run.pairs
        for name in measured_methods(run.configuration)
    ]
    measured = [
        Job(rule, place, model, (output,), what, read_tokens=what.prompt_tokens, loads=1)
        for rule, place, model, output in places
    ]
    return [
        Job("capabilities_data", outputs=("evaluation/benchmarks.json",)),
        *measured,
        Job("capabilities_tables", outputs=("tables/capabilities.csv",)),
        Job("capabilities_figures", outputs=("figures/capabilities.svg",)),
    ]


def _asked(run: Run) -> Asked:
    settings, what = run.settings["evaluation"]["capabilities"], Asked()
    for entry in settings["tasks"]:
        questions, answers = QUESTIONS.get(entry["task"], OTHER_QUESTIONS)
        most = (settings["max_samples"] or questions) * SUBJECTS.get(entry["task"], 1)
        requests = min(questions, most) * answers
        what += Asked(requests, requests * QUESTION * (entry["few_shots"] + 1))
    return what
