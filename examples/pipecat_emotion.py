"""A Pipecat processor that tells the language model how the user sounds.

pip install 'livesr[pipecat]'

Put it after speech-to-text and before the context aggregator:

    Pipeline([transport.input(), stt, EmotionProcessor(), aggregator.user(), llm, ...])

"No." then reaches the model as "([emotion angry=0.71, neutral=0.20]) No."
"""

import numpy as np
from pipecat.frames.frames import Frame, InputAudioRawFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

import livesr


class EmotionProcessor(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self._recognizer = livesr.Recognizer()  # one for each user
        self.reading: livesr.Reading | None = None  # the last with a label since what was said

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            samples = np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
            # Some milliseconds for each hop of a quarter of a second: no need of a thread.
            for reading in self._recognizer.push(samples, frame.sample_rate):
                self.reading = reading if reading.label else self.reading
        elif isinstance(frame, TranscriptionFrame) and self.reading:
            frame.text = f"{self.reading.to_rcs()} {frame.text}"
            self.reading = None
        await self.push_frame(frame, direction)
