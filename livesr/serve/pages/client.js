// A client of `livesr serve`. Every message of the server is an event with its own name:
//   const voice = new Voice("wss://host/v1/stream", {sample_rate: 48000, encoding: "f32le"});
//   voice.addEventListener("reading", ({detail}) => console.log(detail.label, detail.smoothed));
//   voice.push(new Float32Array(480));
export class Voice extends EventTarget {
  constructor(url, session = {}, token = "") {
    super();
    this.ended = false;
    this.skipped = 0;  // samples that the server does not know of yet
    this.lost = 0;  // samples that a slow network lost
    this.socket = new WebSocket(url, ["livesr.v1", ...(token ? [`livesr.token.${token}`] : [])]);
    this.socket.addEventListener("open", () => this.tell("session.update", session));
    this.socket.addEventListener("message", ({data}) => {
      const message = JSON.parse(data);
      this.ended ||= message.type === "session.ended";
      this.dispatchEvent(new CustomEvent(message.type, {detail: message}));
    });
    this.socket.addEventListener("close", ({code, reason}) =>
      this.dispatchEvent(new CustomEvent("close", {detail: {code, reason, ended: this.ended}})));
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  tell(type, fields = {}) {
    if (this.open) this.socket.send(JSON.stringify({type, ...fields}));
  }

  // Samples of one channel, in the session's encoding. A network too slow for them loses some, and
  // the server is told how many; so is it of those from before the connection opened.
  push(samples) {
    if (!this.open || this.socket.bufferedAmount > 1 << 20) {
      this.skipped += samples.length;
      if (this.open) this.lost += samples.length;
      return;
    }
    this.skip();
    this.socket.send(samples);
  }

  skip() {
    if (!this.open || !this.skipped) return;
    this.tell("skip", {samples: this.skipped});
    this.skipped = 0;
  }

  end() {
    this.tell("session.end");
  }
}
