// Every bound the rpc engine keeps, with its default. A connection that crosses one of them gets the
// error RFC 9113 or gRPC names for it; nothing here can be crossed silently.

export interface RpcLimits {
  /** Streams a peer may have open at once on one connection (SETTINGS_MAX_CONCURRENT_STREAMS). */
  readonly concurrentStreams: number;
  /** Largest message accepted; longer ones end the call with RESOURCE_EXHAUSTED. */
  readonly receiveMessageBytes: number;
  /** Largest frame payload accepted (SETTINGS_MAX_FRAME_SIZE), 16384 to 16777215. */
  readonly frameBytes: number;
  /** Largest header list accepted, by RFC 9113 section 6.5.2 counting; also bounds its encoded form. */
  readonly headerListBytes: number;
  /** Bytes a peer may send on one stream before its handler has taken them. */
  readonly streamWindowBytes: number;
  /** Bytes a peer may send on all streams of a connection before handlers have taken them. */
  readonly connectionWindowBytes: number;
  /** Bytes of messages that waits for a stream's reader above which write() answers false. */
  readonly streamHighWaterBytes: number;
  /** Bytes of output beyond what the socket took above which streams stop adding to it. */
  readonly socketHighWaterBytes: number;
  /** Bytes one connection may hold in messages half received or waiting to be sent; new calls are refused above it. */
  readonly connectionHeldBytes: number;
  /** Messages of calls that use compression are compressed from this size on. */
  readonly compressFromBytes: number;
  /** Time from accepting a connection (or dialling) until the peer's SETTINGS must have arrived. */
  readonly handshakeTimeoutMs: number;
  /** A PING is sent on a connection silent for this long; 0 sends none. */
  readonly keepaliveIntervalMs: number;
  /** Time within which a PING must be answered, or the connection is closed. */
  readonly keepaliveTimeoutMs: number;
  /** Frames of one cheap kind that one connection may send in a second; see FloodGuard. */
  readonly flood: FloodLimits;
}

/** Frames a second of each kind that costs its sender little and us something. */
export interface FloodLimits {
  /** Streams reset before they were answered, by the peer or by us for its faults. */
  readonly resets: number;
  /** Generous by default: grpc-go's bandwidth estimator pings once a round trip while data flows. */
  readonly pings: number;
  readonly settings: number;
  readonly priorities: number;
  /** DATA frames without payload that do not end a stream. */
  readonly emptyData: number;
  readonly windowUpdates: number;
  /** CONTINUATION frames in one header block (not a second). */
  readonly continuations: number;
}

/** etcd's defaults where etcd has one: 1.5 MiB + 512 KiB messages, keepalive after two hours, 20 s to answer. */
export const defaultRpcLimits: RpcLimits = {
  concurrentStreams: 10_000,
  receiveMessageBytes: 1_572_864 + 512 * 1024,
  frameBytes: 16_384,
  headerListBytes: 64 * 1024,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  streamHighWaterBytes: 256 * 1024,
  socketHighWaterBytes: 1024 * 1024,
  connectionHeldBytes: 64 * 1024 * 1024,
  compressFromBytes: 1024,
  handshakeTimeoutMs: 10_000,
  keepaliveIntervalMs: 7_200_000,
  keepaliveTimeoutMs: 20_000,
  flood: {
    resets: 2000,
    pings: 100_000,
    settings: 100,
    priorities: 5000,
    emptyData: 1000,
    windowUpdates: 500_000,
    continuations: 32,
  },
};

/** Fills what is left out with the defaults and rejects what HTTP/2 cannot express. */
export function resolveLimits(given: Partial<RpcLimits> | undefined): RpcLimits {
  const limits = { ...defaultRpcLimits, ...given };
  check("concurrentStreams", limits.concurrentStreams, 1, 0xffffffff);
  check("receiveMessageBytes", limits.receiveMessageBytes, 1, 0xffffffff);
  check("frameBytes", limits.frameBytes, 16_384, 16_777_215);
  check("headerListBytes", limits.headerListBytes, 1024, 16_777_215);
  check("streamWindowBytes", limits.streamWindowBytes, 0, 0x7fffffff);
  check("connectionWindowBytes", limits.connectionWindowBytes, 65_535, 0x7fffffff);
  check("streamHighWaterBytes", limits.streamHighWaterBytes, 1, Number.MAX_SAFE_INTEGER);
  check("socketHighWaterBytes", limits.socketHighWaterBytes, 1, Number.MAX_SAFE_INTEGER);
  check("connectionHeldBytes", limits.connectionHeldBytes, 1, Number.MAX_SAFE_INTEGER);
  check("compressFromBytes", limits.compressFromBytes, 1, Number.MAX_SAFE_INTEGER);
  return limits;
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`rpc limit ${name} is ${value}, not an integer from ${least} to ${most}`);
  }
}
