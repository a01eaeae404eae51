// TLS under the server and the client: ALPN, verification on both sides, certificates that change while
// running. Sockets come out of here encrypted and are used like plain ones. TLS 1.2 or later, without
// renegotiation (RFC 9113 section 9.2).

import { isIP, type Socket } from "node:net";
import {
  checkServerIdentity,
  connect,
  createServer,
  type SecureContextOptions,
  type SecureVersion,
  type Server,
  type TLSSocket,
} from "node:tls";

type Pem = string | Buffer;

/** What both ends may choose. */
export interface TlsChoices {
  /** "TLSv1.2" by default. */
  readonly minVersion?: SecureVersion;
  /** OpenSSL's notation; the choice of Node.js by default. */
  readonly ciphers?: string;
}

export interface TlsServerOptions extends TlsChoices {
  readonly cert: Pem;
  readonly key: Pem;
  /** Clients must show a certificate of one of these authorities; they need none without this. */
  readonly clientAuthorities?: Pem | Pem[];
  /** Certificates of those authorities that no longer count. */
  readonly revoked?: Pem | Pem[];
}

export interface TlsClientOptions extends TlsChoices {
  /** Who may vouch for the server; the authorities Node.js knows by default. */
  readonly authorities?: Pem | Pem[];
  /** Shown to servers that ask for one. */
  readonly cert?: Pem;
  readonly key?: Pem;
  /** The name or address that the server's certificate must be for; the host by default. */
  readonly serverName?: string;
}

export interface TlsListener {
  /** The handshake is done. */
  established(socket: TLSSocket): void;
  /** It failed, and the connection is closed. */
  refused(peer: string, reason: string): void;
}

/** Shakes hands on connections that were accepted elsewhere. */
export class TlsAcceptor {
  private readonly server: Server;
  /** Address and port of each connection, which a socket forgets when it closes. */
  private readonly peers = new WeakMap<Socket, string>();

  constructor(options: TlsServerOptions, handshakeTimeoutMs: number, listener: TlsListener) {
    const required = options.clientAuthorities !== undefined;
    this.server = createServer({
      ...contextOf(options),
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: handshakeTimeoutMs,
      requestCert: required,
      rejectUnauthorized: required,
    });
    this.server.on("secureConnection", (socket) => {
      socket.disableRenegotiation();
      listener.established(socket);
    });
    this.server.on("tlsClientError", (error, socket) => {
      // Set when the certificate was well-formed and not acceptable; the error then only says "closed".
      const unauthorized = socket.authorizationError as Error | string | null | undefined;
      const reason = unauthorized ? String(unauthorized) : error.message;
      listener.refused(this.peerOf(socket), reason);
      socket.destroy();
    });
  }

  accept(socket: Socket): void {
    this.peers.set(socket, `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}`);
    this.server.emit("connection", socket);
  }

  /** Node.js keeps the socket below a TLS socket in a field it does not document; "?" without it. */
  private peerOf(socket: TLSSocket): string {
    const below = (socket as TLSSocket & { readonly _parent?: Socket })._parent;
    return (below === undefined ? undefined : this.peers.get(below)) ?? "?";
  }

  /**
   * For handshakes from now on; connections that exist go on with what they have. Whether clients need
   * a certificate cannot change. @throws Error when key and certificate do not fit; all stays as it was.
   */
  update(options: TlsServerOptions): void {
    this.server.setSecureContext(contextOf(options));
  }
}

/** Dials and verifies; the socket emits "secureConnect" when it may be used, else "error" and "close". */
export function dialTls(host: string, port: number, options: TlsClientOptions): TLSSocket {
  const serverName = options.serverName ?? host;
  const socket = connect({
    host,
    port,
    ...choicesOf(options),
    ALPNProtocols: ["h2"],
    // Server names on the wire are never addresses (RFC 6066 section 3).
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    ...(options.authorities === undefined ? {} : { ca: options.authorities }),
    ...(options.cert === undefined ? {} : { cert: options.cert }),
    ...(options.key === undefined ? {} : { key: options.key }),
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => checkServerIdentity(serverName, certificate),
  });
  socket.once("secureConnect", () => {
    if (socket.alpnProtocol === "h2") return;
    socket.destroy(new Error("the server did not choose h2 in the TLS handshake"));
  });
  return socket;
}

function contextOf(options: TlsServerOptions): SecureContextOptions {
  return {
    ...choicesOf(options),
    cert: options.cert,
    key: options.key,
    ...(options.clientAuthorities === undefined ? {} : { ca: options.clientAuthorities }),
    ...(options.revoked === undefined ? {} : { crl: options.revoked }),
  };
}

function choicesOf({ minVersion, ciphers }: TlsChoices): SecureContextOptions {
  return { minVersion: minVersion ?? "TLSv1.2", ...(ciphers === undefined ? {} : { ciphers }) };
}
