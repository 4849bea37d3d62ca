"""What the aligner learns from: embedded speech with true times, of many words and with pauses.

The zoo's pre-training corpus has the two hundred words of a small grammar; an aligner needs to know how
any letters sound. So half of its speech are sequences of common words and of invented ones, with commas,
which espeak-ng speaks as pauses. Speakers have the voices of pre-training, with more spread in rate and
vocal tract; no voice of a task is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from foretune.tasks.embedded.corpus import VERSION, Line, pretraining_corpus, speak
from foretune.tasks.embedded.emotions import RULES
from foretune.tasks.embedded.voices import speakers
from foretune.tasks.utterance import Span, Utterance

PEOPLE = 120
"""Speakers of the mixed words; the first 80 are those of the pre-training corpus."""

_COMMON_WORDS = """
a about after again all also always am an and another any are as ask at away back bad be became because
been before began best better between big black blue body book both boy bring brother brought build but
buy by call came can car change child children city close clothes cold come could country cut daughter
day did different do does done door down draw drink each early earth eat eight end enough even evening
ever every example eye face fact family far father feel feet few fire first five follow food for found
four friend from full game gave get girl give go going good got great group grow had half hand happy
hard has have he head hear heard help her here high him himself his hold home hope hour house how
hundred i if important in into is it its just keep kind king knew know language large last late laugh
learn leave left less let letter life light like line little live long look love low made make man many
may me mean men might mile milk mind money month more morning most mother mountain move much music must
my name near need never new next night no north not nothing now number of off often old on once one only
open or other our out over own page paper part party people person phone picture place plant play please
point question quick quite rain ran read ready real red right river room round run said same saw say
school sea second see seem sentence set seven she should show side since sing sister sit six sleep small
smile snow so some something song soon sound speak spell stand star start state still stop story street
strong student study such summer sun sure table take talk teacher tell ten than thank that the their them
then there these they thing think this those thought thousand three through time to today together told
too took top toward town travel tree true try turn two under until up us use usually very visit voice wait
walk want war warm was watch water way we weather week well went were what wheel when where which while
white who whole why will wind window winter with without woman women wood word work world would write
year yellow yes yet you young your zero zone
"""
_COMMON = tuple(_COMMON_WORDS.split())
_ONSET_LETTERS = (
    "b c d f g h j k l m n p qu r s t v w y z bl br ch cl cr dr fl fr gl gr ph pl pr sc sh sk sl sm sn sp "
    "squ st str sw th tr tw"
)
_NUCLEUS_LETTERS = "a e i o u a e i o u ai ay ea ee oa oo ou ow oi au ar er or ir"
_CODA_LETTERS = (
    "b d f g k l m n p r s t x ck ft ld lk ll lm lt mp nd ng nk nt pt rd rk rm rn rt sh sk sp ss st th tch"
)
_ONSETS = tuple(_ONSET_LETTERS.split())
_NUCLEI = tuple(_NUCLEUS_LETTERS.split())
_CODAS = tuple(_CODA_LETTERS.split())


def alignment_corpus(utterances: int, *, seed: int = 0) -> list[Utterance]:
    """Return speech for training an aligner: half the pre-training corpus, half mixed words.

    Args:
        utterances: how many; about three seconds each.
        seed: draws everything.

    Returns:
        Utterances whose words all have true times; the few where espeak-ng joined words are left out.
    """
    grammatical = pretraining_corpus(utterances // 2, seed=seed)
    spoken = [*grammatical, *speak(mixed_lines(utterances - len(grammatical), seed=seed))]
    return [each for each in spoken if true_words(each)]


def mixed_lines(count: int, *, seed: int) -> list[Line]:
    """Return lines of common and invented words, by the voices of pre-training, 3 to 10 words each."""
    rng = np.random.default_rng((VERSION, 5, seed))
    people = speakers("pretraining", PEOPLE)
    emotions = list(RULES)
    # several lines a person and manner, since each manner loads espeak-ng anew
    manners = [
        replace(person, rate=float(rng.uniform(90, 175)), formants=float(rng.uniform(0.88, 1.22)))
        for person in people
        for _ in range(4)
    ]
    return [
        Line(
            manners[index % len(manners)],
            _mixture(rng),
            emotions[rng.integers(len(emotions))],
            (5, seed, index),
        )
        for index in range(count)
    ]


def _mixture(rng: np.random.Generator) -> str:
    words = [
        _invent(rng) if rng.random() < 0.35 else _COMMON[rng.integers(len(_COMMON))]
        for _ in range(rng.integers(3, 11))
    ]
    pauses = ["," if rng.random() < 0.12 else "" for _ in words[:-1]]
    return " ".join(word + pause for word, pause in zip(words, [*pauses, ""], strict=True))


def _invent(rng: np.random.Generator) -> str:
    def one(of: Sequence[str]) -> str:
        return of[int(rng.integers(len(of)))]

    word = one(_ONSETS) + one(_NUCLEI) + one(_CODAS)
    return word + one(_NUCLEI[:10]) + one(_CODAS[:14]) if rng.random() < 0.4 else word


def true_words(utterance: Utterance) -> tuple[Span, ...]:
    """Return when each word is heard: from its first phone's beginning to its last phone's end.

    espeak-ng marks a word 14 ms and more before its first sound, and its end where the next word
    begins, so that its own marks hold the pauses.

    Returns:
        One span a word of the transcript, without punctuation; none where espeak-ng did not mark
        each word by itself.
    """
    written = (utterance.text or "").replace(",", "").split()
    starts = np.array([word.start for word in utterance.words])
    if [word.label for word in utterance.words] != written:
        return ()
    owner = np.searchsorted(starts, [phone.start + 1e-9 for phone in utterance.phones], side="right") - 1
    spans = []
    for index, word in enumerate(written):
        own = [phone for phone, of in zip(utterance.phones, owner, strict=True) if of == index]
        if not own:
            return ()
        spans.append(Span(own[0].start, own[-1].end, word))
    return tuple(spans)
