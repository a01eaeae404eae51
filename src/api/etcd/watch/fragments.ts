// Splits the events of a response that is too large for one message, where the client asked for it.

export interface Fragment {
  readonly events: readonly Uint8Array[];
  readonly last: boolean;
}

/** tag and value of WatchResponse.fragment */
const flagBytes = 2;

/**
 * As etcd cuts them: pieces stay below the limit, and a single event is never split.
 * @param events encoded
 * @param baseBytes of a response without events
 */
export function fragments(
  events: readonly Uint8Array[],
  baseBytes: number,
  limitBytes: number,
): readonly Fragment[] {
  let total = baseBytes;
  for (const event of events) total += event.length;
  if (total < limitBytes || events.length < 2) return [{ events, last: true }];
  const pieces: Fragment[] = [];
  let from = 0;
  while (from < events.length) {
    let bytes = baseBytes + flagBytes + events[from]!.length;
    let to = from + 1;
    while (to < events.length && bytes + events[to]!.length < limitBytes) bytes += events[to++]!.length;
    pieces.push({ events: events.slice(from, to), last: to === events.length });
    from = to;
  }
  return pieces;
}
