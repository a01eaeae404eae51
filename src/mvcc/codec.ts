// The KV messages of the etcd API between their wire form and the plain objects of messages.ts, by
// hand for speed: decoded requests share the memory of the bytes they came from. Checked both ways
// against @bufbuild/protobuf by codec.test.ts. Malformed bytes throw WireError.

export { decodeKeyValue, encodeKeyValue, keyValueBytes, writeKeyValue } from "./codec/key-value.js";
export {
  encodeCompaction,
  encodeDeleteRange,
  encodePut,
  encodeRange,
  encodeTxn,
} from "./codec/request-encoding.js";
export {
  decodeCompaction,
  decodeDeleteRange,
  decodePut,
  decodeRange,
  decodeTxn,
  NestingTooDeep,
} from "./codec/requests.js";
export { ResponseEncoder } from "./codec/responses.js";
export {
  decodeWatchRequest,
  encodeWatchRequest,
  type WatchCreateRequest,
  WatchFilter,
  type WatchId,
  type WatchRequest,
  WatchResponseEncoder,
  watchId,
} from "./codec/watch.js";
