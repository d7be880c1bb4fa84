// In the audio thread: samples at the context's own rate, channels averaged, 20 ms a message.
class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 50);
    this.held = new Float32Array(this.size);
    this.count = 0;
  }

  process([channels]) {
    if (!channels.length) return true;
    for (let index = 0; index < channels[0].length; index++) {
      let sum = 0;
      for (const channel of channels) sum += channel[index];
      this.held[this.count++] = sum / channels.length;
      if (this.count === this.size) {
        this.port.postMessage(this.held, [this.held.buffer]);
        this.held = new Float32Array(this.size);
        this.count = 0;
      }
    }
    return true;
  }
}

registerProcessor("livesr-tap", Tap);
