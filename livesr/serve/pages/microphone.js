// From a microphone to readings. Nothing is asked for, sent or opened before start().
import {Voice} from "/client.js";

export const GLYPHS = {angry: "▲", happy: "●", neutral: "■", sad: "▼"};
export const WORDS = {
  "no-speech": "no speech", "unsure": "unsure", "warming-up": "listening", "speech": "",
};
const address = `${location.protocol.replace("http", "ws")}//${location.host}/v1/stream`;

export const stored = {
  get: (name) => { try { return localStorage.getItem(`livesr.${name}`) ?? ""; } catch { return ""; } },
  set: (name, value) => { try { localStorage.setItem(`livesr.${name}`, value); } catch { /* private */ } },
  remove: (name) => { try { localStorage.removeItem(`livesr.${name}`); } catch { /* private */ } },
};

// What is missing before a session can start: "" | "token" | "unreachable".
export async function asked(token) {
  try {
    const headers = token ? {Authorization: `Bearer ${token}`} : {};
    const answer = await fetch("/metrics", {method: "HEAD", headers});
    return answer.status === 401 ? "token" : "";
  } catch {
    return "unreachable";
  }
}

export class Microphone {
  // onLevel(dBFS) is called 50 times a second; onMessage(type, message) for each of the server's.
  constructor(onLevel, onMessage) {
    Object.assign(this, {onLevel, onMessage, paused: false, voice: null});
  }

  async start(session, token) {
    if (!navigator.mediaDevices)
      throw new Error("Browsers give a microphone only over https, or on localhost.");
    const plain = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
    this.stream = await navigator.mediaDevices.getUserMedia({audio: plain});
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("/pages/worklet.js");
    await this.context.resume();
    const rate = this.context.sampleRate;
    this.voice = new Voice(address, {sample_rate: rate, encoding: "f32le", ...session}, token);
    const types = ["session.created", "reading", "utterance.start", "utterance.end", "gap", "mark",
      "error", "profile", "session.ended", "close"];
    for (const type of types)
      this.voice.addEventListener(type, ({detail}) => this.onMessage(type, detail));
    const tap = new AudioWorkletNode(this.context, "livesr-tap");
    tap.port.onmessage = ({data}) => this.take(data);
    this.context.createMediaStreamSource(this.stream).connect(tap);
    tap.connect(this.context.destination);  // it gives silence; unconnected, it might not run
    this.stream.getAudioTracks()[0].addEventListener("ended", () => this.onMessage("gone", {}));
  }

  take(samples) {
    let power = 0;
    for (const sample of samples) power += sample * sample;
    this.onLevel(this.paused ? -120 : 10 * Math.log10(power / samples.length + 1e-12));
    if (!this.paused) return this.voice.push(samples);
    this.voice.skipped += samples.length;
    // Every second: the server ends a session of which it hears nothing for a minute.
    if (this.voice.skipped >= this.context.sampleRate) this.voice.skip();
    return undefined;
  }

  // Seconds that a slow network lost; those of a pause are not among them.
  get lost() {
    return this.voice ? this.voice.lost / this.context.sampleRate : 0;
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.voice?.end();
  }
}
