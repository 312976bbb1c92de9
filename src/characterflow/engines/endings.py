"""How a reply ended: an engine says so, and only where it does not the text is judged."""

from characterflow.text.sentences import cut_to_sentence, is_finished

STOP = "stop"  # the model ended its reply by itself
UNKNOWN = "unknown"  # a recording does not say
CUT_OFF = frozenset({"length", "too_long", "content_filter", "abort", "error"})


def finished_reply(text: str, finish_reason: str, cut_unfinished: bool = False) -> str:
    """A finished reply without blanks around it; "" where it is unfinished.

    finish_reason: as the engine gave it; after "stop" a reply is finished whatever its last character, after
    a limit it is not, and after any other it is judged by its text. cut_unfinished: what is unfinished is cut
    back to its last whole sentence.
    """
    text = text.strip()
    if finish_reason == STOP or (finish_reason not in CUT_OFF and is_finished(text)):
        return text
    return cut_to_sentence(text) if cut_unfinished else ""
