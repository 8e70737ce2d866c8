// Copyright 2026 The entropy-asr authors.
// Licensed under the Apache License, Version 2.0 (see LICENSE).
//
// The live tab's recorder, in the browser: every sample of the microphone goes to the server once and in its order.
//
// What is recorded waits in the page; one request is under way at a time, and what came meanwhile is one piece of the
// next. Pieces are numbered: one whose answer was lost is sent again as it was, and the server hears it once.

const PIECE_SECONDS = 0.25;  // sent as soon as so much waits and no request is under way
const LONGEST_PIECE_SECONDS = 5;  // the server takes 10
const ANSWER_SECONDS = 120;  // then a request counts as lost, as when a computer slept meanwhile
const GIVE_UP_SECONDS = 20;  // of attempts that fail

const WORKLET = `registerProcessor('entropy-asr-recorder', class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(2048);
    this.filled = 0;
    this.isOpen = true;
    this.port.onmessage = () => { this.isOpen = false; this.send(); this.port.postMessage(null); };
  }
  send() {
    const block = this.block.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage(block, [block.buffer]);
  }
  process([channels]) {
    for (const sample of this.isOpen && channels[0] || []) {
      this.block[this.filled++] = sample;
      if (this.filled === this.block.length) this.send();
    }
    return this.isOpen;
  }
});`;

const MICROPHONE_PROBLEMS = {
  NotAllowedError: 'The microphone was not allowed. Permit it for this page in the browser, then press Record again.',
  NotFoundError: 'No microphone was found. Connect one, then press Record again.',
  NotReadableError: 'The microphone cannot be read: another program may be using it.',
};

/** What the visitor is to read. */
class ShownError extends Error {}

function toPcm(block) {
  return Int16Array.from(block, (sample) => Math.round(32767 * Math.max(-1, Math.min(1, sample))));
}

function toBase64(blocks) {
  let text = '';
  for (const block of blocks) text += String.fromCharCode(...new Uint8Array(block.buffer));
  return btoa(text);
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Microphone to blocks of samples. */
class Microphone {
  constructor(onBlock, onLost) { Object.assign(this, { onBlock, onLost, isClosed: false }); }

  async open() {
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
      throw new ShownError('This browser gives a page the microphone only over https, or on localhost.');
    }
    this.context = new AudioContext({ latencyHint: 'playback' });  // long buffers outlast a busy moment
    const worklet = URL.createObjectURL(new Blob([WORKLET], { type: 'text/javascript' }));
    // As it sounds: what browsers do for calls cuts speech as well as noise.
    const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
      await Promise.all([this.context.audioWorklet.addModule(worklet), this.context.resume()]);
    } catch (error) {
      throw new ShownError(MICROPHONE_PROBLEMS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    } finally {
      URL.revokeObjectURL(worklet);
    }
    // The first channel of several: a mean would be silence where they cancel.
    const mono = { channelCount: 1, channelCountMode: 'explicit', channelInterpretation: 'discrete' };
    this.node = new AudioWorkletNode(this.context, 'entropy-asr-recorder', { numberOfInputs: 1, ...mono });
    this.node.port.onmessage = ({ data }) => (data === null ? this.onFlushed?.() : this.onBlock(data));
    this.context.createMediaStreamSource(this.stream).connect(this.node).connect(this.context.destination);
    this.context.onstatechange = () => { if (!this.isClosed) this.context.resume(); };
    this.stream.getAudioTracks()[0].onended = () => { if (!this.isClosed) this.onLost(); };
  }

  /** All that was recorded has been given when this resolves. */
  async flush() {
    if (!this.node) return;
    const flushed = new Promise((resolve) => { this.onFlushed = resolve; });
    this.node.port.postMessage(null);
    await Promise.race([flushed, pause(2000)]);  // a context that is held up may not answer
  }

  close() {
    this.isClosed = true;
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== 'closed') this.context.close();
  }
}

class Recorder {
  constructor(endpoint, maxSeconds) {
    const { root = '.', api_prefix: prefix = '/gradio_api' } = window.gradio_config ?? {};
    this.url = `${root}${prefix}/run/${endpoint}`;
    this.maxSeconds = maxSeconds;
    this.session = null;
    window.addEventListener('pagehide', () => { if (this.session) this.end(this.session, '', true); });
  }

  /** Show the state in this element from now on: a tab may be drawn anew. */
  attach(element, askForChoices) {
    this.root = element.querySelector('.recorder');
    this.root.querySelector('button').addEventListener('click', () => {
      if (!this.session) askForChoices(); else this.stop(this.session);
    });
    this.show();
  }

  async start(language, hotwords) {
    if (this.session) return;
    const session = {
      key: crypto.getRandomValues(new Uint32Array(4)).join('-'),
      language, hotwords, state: 'opening', waiting: [], recorded: 0, sent: 0, acknowledged: 0, number: 0, level: 0,
    };
    this.session = session;
    this.tell('');
    session.microphone = new Microphone(
      (block) => this.take(session, block),
      () => { this.tell('The microphone was taken away: the recording ended.'); this.stop(session); },
    );
    this.show();
    try {
      await session.microphone.open();
    } catch (error) {
      return this.end(session, error.message);
    }
    if (this.session !== session) return session.microphone.close();
    session.rate = session.microphone.context.sampleRate;
    session.state = 'recording';
    this.write('<div><p class="hint">Listening …</p></div>');
    this.show();
  }

  take(session, block) {
    if (session.isClosed || this.session !== session) return;
    const room = Math.floor(this.maxSeconds * session.rate) - session.recorded;
    const samples = toPcm(block.subarray(0, room));
    if (samples.length) session.waiting.push(samples);
    session.recorded += samples.length;
    const power = block.reduce((sum, sample) => sum + sample * sample, 0) / (block.length || 1);
    session.level = Math.max(0, Math.min(1, 1 + Math.log10(power + 1e-12) / 6));  // 60 dB
    if (samples.length === room) {
      this.tell(`A live stream lasts at most ${this.maxSeconds} s here: the recording ended. Press Record to go on.`);
      this.stop(session);
    }
    this.show();
    this.send(session);
  }

  async stop(session) {
    if (session.state === 'opening') return this.end(session);
    if (session.state !== 'recording') return;
    session.state = 'ending';
    this.show();
    await session.microphone.flush();
    session.microphone.close();
    session.isClosed = true;
    session.level = 0;
    this.show();
    this.send(session);
  }

  /** Send what waits, a request after another, until less than a piece is left, or nothing is to come. */
  async send(session) {
    if (session.isSending) return;
    session.isSending = true;
    const isDue = () => session.isClosed || session.recorded - session.sent >= PIECE_SECONDS * session.rate;
    try {
      while (this.session === session && isDue()) {
        const blocks = this.next(session);
        const isLast = Boolean(session.isClosed) && !session.waiting.length;
        const { key, number, rate, language, hotwords } = session;
        const request = { key, number, rate, language, hotwords, audio: toBase64(blocks), is_last: isLast };
        const answer = await this.ask(session, request);
        if (this.session !== session) return;
        session.number += 1;
        session.sent += blocks.reduce((sum, block) => sum + block.length, 0);
        session.acknowledged = answer.num_samples;
        if (session.acknowledged !== session.sent) {
          const counts = `${session.acknowledged} samples of ${session.sent}`;
          throw new ShownError(`The server heard ${counts}: the recording ended.`);
        }
        this.write(answer.html);
        this.show();
        if (isLast) this.end(session);
      }
    } catch (error) {
      if (!(error instanceof ShownError)) console.error(error);
      this.end(session, error.message, true);
    } finally {
      session.isSending = false;
    }
  }

  next(session) {
    const blocks = [];
    let room = LONGEST_PIECE_SECONDS * session.rate;
    while (session.waiting.length && session.waiting[0].length <= room) {
      room -= session.waiting[0].length;
      blocks.push(session.waiting.shift());
    }
    return blocks;
  }

  /** The server's answer; a request that is not answered is repeated for a while. */
  async ask(session, request) {
    const body = JSON.stringify({ data: [request] });
    let failingSince = null;
    for (let wait = 250; this.session === session; wait = Math.min(2 * wait, 2000)) {
      const answer = await this.post(body);
      session.trouble = answer ? null : 'The server does not answer; trying again.';
      if (answer) return answer;
      failingSince ??= performance.now();
      if (performance.now() - failingSince > 1000 * GIVE_UP_SECONDS) {
        const lost = Math.ceil((session.recorded - session.sent) / session.rate);
        const reason = `the recording ended, and its last ${lost} s were not heard.`;
        throw new ShownError(`The server does not answer: ${reason}`);
      }
      this.show();
      await pause(wait);
    }
  }

  /** One attempt; null where there is no answer. */
  async post(body) {
    const headers = { 'Content-Type': 'application/json' };
    let response, answer;
    try {
      const signal = AbortSignal.timeout(1000 * ANSWER_SECONDS);
      response = await fetch(this.url, { method: 'POST', headers, body, signal, credentials: 'same-origin' });
      answer = [502, 503, 504].includes(response.status) ? null : await response.json();
    } catch {
      return null;
    }
    if (answer === null) return null;
    if (response.ok) return answer.data[0];
    if (answer.error) throw new ShownError(answer.error);
    throw new ShownError(`The server failed (${response.status}): the recording ended. Reload the page to try again.`);
  }

  /** No more is heard or sent; `isLeft`: the server keeps a place that is to be given back. */
  end(session, problem = '', isLeft = false) {
    session.microphone.close();
    if (this.session !== session) return;
    this.session = null;
    this.last = session;
    session.level = 0;
    if (problem) this.tell(problem);
    if (isLeft) {
      const body = JSON.stringify({ data: [{ key: session.key, leave: true }] });
      navigator.sendBeacon(this.url, new Blob([body], { type: 'application/json' }));
    }
    this.show();
  }

  tell(problem) { this.root.querySelector('.problem').textContent = problem; }

  /** What was said, in the place of what was said before: its frame is announced by screen readers. */
  write(html) {
    const frame = document.querySelector('#live .live');
    const parsed = new DOMParser().parseFromString(html, 'text/html').body.firstElementChild;
    if (frame && parsed && frame.innerHTML !== parsed.innerHTML) frame.innerHTML = parsed.innerHTML;
    frame?.setAttribute('aria-live', 'polite');
  }

  show() {
    const session = this.session ?? this.last;
    const state = this.session?.state ?? 'idle';
    const { recorded = 0, acknowledged = 0, number = 0, rate = 1, level = 0 } = session ?? {};
    Object.assign(this.root.dataset, { state, recorded, acknowledged, rate, pieces: number });
    const button = this.root.querySelector('button');
    button.textContent = { idle: 'Record', ending: 'Finishing …' }[state] ?? 'Stop';
    button.setAttribute('aria-disabled', state === 'ending');
    this.root.querySelector('.time').textContent = clock(recorded / rate);
    this.root.querySelector('.level i').style.width = `${100 * level}%`;
    const behind = (recorded - acknowledged) / rate;
    const usual = { opening: 'Waiting for the microphone …', ending: 'Hearing the rest …' }[state];
    const late = behind > 3 ? `The text is ${Math.round(behind)} s behind; nothing is lost.` : 'Listening …';
    const text = this.session?.trouble ?? usual ?? (state === 'recording' ? late : '');
    const line = this.root.querySelector('.status');
    if (line.textContent !== text) line.textContent = text;
  }
}

window.entropyAsrRecorder ??= new Recorder(props.endpoint, props.max_seconds);
window.entropyAsrRecorder.attach(element, () => trigger('click'));
