"""espeak-ng through ctypes: text to samples with the true times of words and phones.

The library comes with the package `espeakng-loader` (the extra `foretune[embedded]`). It is GPL-3 and
stays beside our code; it is loaded only when speech is made.
"""

from __future__ import annotations

import _ctypes
import ctypes
import sys
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..utterance import Span

_SYNCHRONOUS = 2
_PHONEME_EVENTS_IPA = 0x0001 | 0x0002
_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_WORD, _PHONEME = 1, 7
_RATE_LIMITS = (80, 450)
SILENCE = ""
"""Label of stretches without a phone."""


class _Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng's speak_lib.h; the union `id` is read as its eight characters."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """What espeak-ng said.

    Attributes:
        samples: int16, shape (samples,).
        sample_rate: in Hz.
        words: the words with their times.
        phones: the phones (IPA) with their times; silence is left out.
    """

    samples: NDArray[np.int16]
    sample_rate: int
    words: tuple[Span, ...]
    phones: tuple[Span, ...]


class Espeak:
    """A freshly loaded espeak-ng, to be used as a context manager from one thread.

    The library keeps state from one sentence to the next (flutter of the pitch, random numbers) that
    nothing in its interface resets. Loading it anew does, in some milliseconds, and the C library's random
    numbers are seeded anew with it: the same calls after `with Espeak() as voice:` give the same samples,
    whatever this process has said before.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ModuleNotFoundError:
            raise InputError(
                "the embedded speech needs espeak-ng: python -m pip install 'foretune[embedded]'"
            ) from None
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS_IPA)
        if self.sample_rate <= 0:
            raise InputError("espeak-ng does not start: reinstall the package espeakng-loader")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        if sys.platform != "win32":
            ctypes.CDLL(None).srand(1)  # Klatt's voices draw their noise from the C library
        self._chunks: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, int, int, int, str]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only a bare pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Unload the library, and its state with it."""
        self._library.espeak_Terminate()
        handle = self._library._handle
        if sys.platform == "win32":
            _ctypes.FreeLibrary(handle)
        else:
            _ctypes.dlclose(handle)

    def _receive(
        self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        index = 0
        while events[index].type != 0:
            event = events[index]
            name = event.string.decode("utf-8", "replace") if event.type == _PHONEME else ""
            self._events.append((event.type, event.sample, event.text_position, event.length, name))
            index += 1
        return 0

    def say(
        self, text: str, voice: str, *, rate: float, pitch: float, pitch_range: float, volume: float = 100
    ) -> Speech:
        """Speak a text.

        Args:
            text: plain text.
            voice: name of a voice with its variant, such as `en-us+f2`.
            rate: words a minute, 80 to 450.
            pitch: espeak's pitch, 0 to 99; 50 is the voice's own.
            pitch_range: espeak's range of pitch, 0 (monotone) to 99; 50 is the voice's own.
            volume: 0 to 200; 100 is usual.

        Returns:
            The samples with the times of words and phones.

        Raises:
            InputError: no such voice, or nothing was said.
        """
        library = self._library
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"espeak-ng has no voice {voice!r}")
        settings = ((_RATE, np.clip(rate, *_RATE_LIMITS)), (_PITCH, np.clip(pitch, 0, 99)),
                    (_RANGE, np.clip(pitch_range, 0, 99)), (_VOLUME, np.clip(volume, 0, 200)))  # fmt: skip
        for parameter, value in settings:
            library.espeak_SetParameter(parameter, round(float(value)), 0)
        self._chunks.clear()
        self._events.clear()
        spoken = text.encode()
        library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken) + 1), 0, 1, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        if not self._chunks or not any(kind == _WORD for kind, *_ in self._events):
            raise InputError(f"espeak-ng said nothing for {text!r}")
        samples = np.concatenate(self._chunks)
        return Speech(samples, self.sample_rate, self._words(text, len(samples)), self._phones(len(samples)))

    def _words(self, text: str, end: int) -> tuple[Span, ...]:
        found = [
            (sample, text[at - 1 : at - 1 + length])
            for kind, sample, at, length, _ in self._events
            if kind == _WORD
        ]
        stops = [sample for sample, _ in found[1:]] + [end]
        return tuple(
            Span(start / self.sample_rate, stop / self.sample_rate, word)
            for (start, word), stop in zip(found, stops, strict=True)
            if stop > start
        )

    def _phones(self, end: int) -> tuple[Span, ...]:
        """Turn phone events, which mark beginnings, into spans; pauses end the phone before them."""
        found = [(sample, name) for kind, sample, _, _, name in self._events if kind == _PHONEME]
        stops = [sample for sample, _ in found[1:]] + [end]
        return tuple(
            Span(start / self.sample_rate, stop / self.sample_rate, name)
            for (start, name), stop in zip(found, stops, strict=True)
            if name != SILENCE and stop > start
        )
