"""A LiveKit agent that tells its language model how the user sounds.

pip install 'livesr[livekit]'

Use it as any Agent; `AgentSession` gives it the user's sound on its way to speech-to-text:

    await session.start(EmotionAgent(instructions="..."), room=ctx.room)

"No." then reaches the model as "([emotion angry=0.71, neutral=0.20]) No."
"""

from collections.abc import AsyncIterable, AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents import Agent, ChatContext, ChatMessage, ModelSettings, stt

import livesr


class EmotionAgent(Agent):
    reading: livesr.Reading | None = None  # the last with a label in the user's turn

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        async for event in Agent.default.stt_node(self, self._hear(audio), model_settings):
            yield event

    async def _hear(self, audio: AsyncIterable[rtc.AudioFrame]) -> AsyncIterator[rtc.AudioFrame]:
        recognizer = livesr.Recognizer()
        async for frame in audio:
            samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
            for reading in recognizer.push(samples, frame.sample_rate):
                self.reading = reading if reading.label else self.reading
            yield frame

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        if self.reading:
            said = new_message.text_content or ""
            others = [part for part in new_message.content if not isinstance(part, str)]
            new_message.content = [f"{self.reading.to_rcs()} {said}", *others]  # images stay
            self.reading = None
