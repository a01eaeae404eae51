// Bytes of a membership, as entries of kind "membership" and snapshot metadata carry them. One membership
// has exactly one encoding, and decoding refuses everything else: a truncated, padded, unordered or
// overlapping one, and versions it does not know.
//
//   version (1) | flags (1: leave the joint membership by itself) | voters | outgoing | learners |
//   learnersNext | context.  A list is its count and the differences of its ascending ids, the context
//   its length and its bytes; every number is an unsigned LEB128 varint.

import { invariant } from "../engine.js";
import type { Membership, NodeId } from "../types.js";

const version = 1;
const flagAutoLeave = 1;

/** The bytes are not a membership that encodeMembership wrote. */
export class MembershipCodecError extends Error {
  override readonly name = "MembershipCodecError";
}

export function encodeMembership(membership: Membership, context: Uint8Array): Uint8Array {
  const fault = faultOf(membership);
  invariant(fault === undefined, () => `a membership to be encoded is valid: ${fault}`);
  const head: number[] = [version, membership.autoLeave ? flagAutoLeave : 0];
  for (const list of [membership.voters, membership.outgoing, membership.learners, membership.learnersNext]) {
    pushVarint(head, list.length);
    let previous = 0;
    for (const id of list) {
      pushVarint(head, id - previous);
      previous = id;
    }
  }
  pushVarint(head, context.length);
  const payload = new Uint8Array(head.length + context.length);
  payload.set(head, 0);
  payload.set(context, head.length);
  return payload;
}

/** @throws MembershipCodecError */
export function decodeMembership(payload: Uint8Array): { membership: Membership; context: Uint8Array } {
  const reader = new Reader(payload);
  const found = reader.byte();
  if (found !== version) throw new MembershipCodecError(`version ${found} of a membership is not known`);
  const flags = reader.byte();
  if (flags > flagAutoLeave) throw new MembershipCodecError(`flags ${flags} of a membership are not known`);
  const membership: Membership = {
    voters: reader.ids(),
    outgoing: reader.ids(),
    learners: reader.ids(),
    learnersNext: reader.ids(),
    autoLeave: flags === flagAutoLeave,
  };
  const context = reader.rest(reader.varint());
  const fault = faultOf(membership);
  if (fault !== undefined) throw new MembershipCodecError(fault);
  return { membership, context };
}

/** What is wrong with a membership, or undefined. */
function faultOf(membership: Membership): string | undefined {
  const { voters, outgoing, learners, learnersNext, autoLeave } = membership;
  for (const list of [voters, outgoing, learners, learnersNext]) {
    let previous = 0;
    for (const id of list) {
      if (!Number.isSafeInteger(id) || id <= previous) return `node ids do not ascend at ${id}`;
      previous = id;
    }
  }
  if (voters.length === 0 && outgoing.length + learners.length > 0) return "there is no voter";
  if (autoLeave && outgoing.length === 0) return "only a joint membership is left by itself";
  const overlap = learners.find((id) => voters.includes(id) || outgoing.includes(id));
  if (overlap !== undefined) return `node ${overlap} is both learner and voter`;
  const stranger = learnersNext.find((id) => !outgoing.includes(id) || voters.includes(id));
  if (stranger !== undefined) return `node ${stranger} becomes a learner and is not an outgoing voter`;
  return undefined;
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
}

class Reader {
  private offset = 0;

  constructor(private readonly bytes: Uint8Array) {}

  byte(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw new MembershipCodecError("a membership ends too early");
    this.offset++;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte % 128) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new MembershipCodecError("a number exceeds 2^53 - 1");
      if (byte < 128) {
        if (byte === 0 && scale > 1) throw new MembershipCodecError("a number is padded");
        return value;
      }
      scale *= 128;
      if (scale > 2 ** 53) throw new MembershipCodecError("a number exceeds 2^53 - 1");
    }
  }

  ids(): NodeId[] {
    const count = this.varint();
    if (count > this.bytes.length - this.offset) {
      throw new MembershipCodecError(`a membership of ${this.bytes.length} bytes cannot name ${count} nodes`);
    }
    const ids: NodeId[] = [];
    let previous = 0;
    for (let i = 0; i < count; i++) {
      previous += this.varint();
      ids.push(previous);
    }
    return ids;
  }

  rest(length: number): Uint8Array {
    const left = this.bytes.length - this.offset;
    if (length !== left) {
      throw new MembershipCodecError(`the context has ${left} bytes, not the ${length} it announces`);
    }
    return this.bytes.slice(this.offset);
  }
}
