import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { environmentName, options } from "./config/options.js";
import { ConfigError, parseServerConfig, type ServerConfig } from "./config.js";

const noFile = (path: string): string => {
  throw new Error(`no such file: ${path}`);
};

function parse(argv: readonly string[], env: Record<string, string> = {}, file?: string): ServerConfig {
  return parseServerConfig(argv, env, file === undefined ? noFile : () => file);
}

/** The message of the ConfigError that the arguments cause. */
function complaint(argv: readonly string[], env: Record<string, string> = {}, file?: string): string {
  try {
    parse(argv, env, file);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.code, "QUORATE_CONFIG");
    assert.ok(!error.message.includes("\n"), "one line");
    return error.message;
  }
  throw new Error("no error");
}

describe("parseServerConfig() without settings", () => {
  it("is a single node on etcd's ports with etcd's limits", () => {
    assert.deepEqual(parse([]), {
      name: "default",
      dataDir: "default.quorate",
      walDir: "default.quorate/wal",
      listenClientUrls: [{ host: "127.0.0.1", port: 2379, url: "http://localhost:2379" }],
      advertiseClientUrls: ["http://localhost:2379"],
      listenPeerUrls: [{ host: "127.0.0.1", port: 2380, url: "http://localhost:2380" }],
      initialAdvertisePeerUrls: ["http://localhost:2380"],
      initialCluster: [{ name: "default", peerUrls: ["http://localhost:2380"] }],
      initialClusterState: "new",
      initialClusterToken: "quorate-cluster",
      strictReconfigCheck: true,
      consensus: "raft",
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      snapshotCount: 10_000,
      quotaBackendBytes: 2 * 1024 ** 3,
      cacheBytes: 128 * 1024 ** 2,
      maxRequestBytes: 1_572_864,
      maxTxnOps: 128,
      maxConcurrentStreams: 10_000,
      logLevel: "info",
      logFormat: "auto",
      metrics: "basic",
    } satisfies ServerConfig);
  });
});

describe("the sources of a setting", () => {
  it("accepts --flag value, --flag=value and a single dash, the last one winning", () => {
    assert.equal(parse(["--name", "a"]).name, "a");
    assert.equal(parse(["-name=a", "--name=b=c"]).name, "b=c");
  });

  it("takes a flag over the environment, and the environment over the file", () => {
    const file = "name: from-file\nmax-txn-ops: 3\ncache-bytes: 64MiB\n";
    const env = { QUORATE_NAME: "from-env", QUORATE_MAX_TXN_OPS: "2", QUORATE_CONFIG_FILE: "q.yaml" };
    const config = parse(["--name", "from-flag"], env, file);
    assert.deepEqual([config.name, config.maxTxnOps, config.cacheBytes], ["from-flag", 2, 64 * 1024 ** 2]);
  });

  it("takes an empty variable and an empty YAML value as not set", () => {
    assert.equal(parse(["--config-file=f"], { QUORATE_NAME: "" }, "name:\n").name, "default");
    assert.equal(parse(["--config-file=f"], {}, "# nothing\n").name, "default");
  });

  it("reads every option from all three, by its own name", () => {
    const sample: Record<string, string> = {
      "heartbeat-interval": "50",
      "election-timeout": "900",
      "initial-cluster": "n=http://127.0.0.1:1",
      "initial-cluster-state": "existing",
      consensus: "raft",
      "strict-reconfig-check": "false",
      "log-level": "warn",
      "log-format": "json",
      metrics: "extensive",
    };
    const common = { name: "n", "initial-advertise-peer-urls": "http://127.0.0.1:1" };
    for (const option of options) {
      if (option.name === "config-file") continue;
      const value =
        sample[option.name] ??
        (option.type === "urls" ? "http://127.0.0.1:1" : option.type === "string" ? "n" : "4096");
      const said = { ...common, [option.name]: value };
      const flags = parse(Object.entries(said).map(([name, text]) => `--${name}=${text}`));
      const env = Object.fromEntries(
        Object.entries(said).map(([name, text]) => [environmentName(name), text]),
      );
      assert.deepEqual(parse([], env), flags, option.name);
      const yaml = Object.entries(said).map(([name, text]) => `${name}: ${text}\n`);
      assert.deepEqual(parse(["--config-file=f"], {}, yaml.join("")), flags, option.name);
      if (option.name !== "consensus" && option.name !== "initial-cluster" && !(option.name in common))
        assert.notDeepEqual(
          flags,
          parse(Object.entries(common).map(([name, text]) => `--${name}=${text}`)),
          option.name,
        );
    }
  });

  it("takes lists and mappings in YAML", () => {
    const config = parse(
      ["--config-file=f"],
      {},
      `
name: a
listen-client-urls: [http://127.0.0.1:2379, "http://[::1]:2379"]
initial-advertise-peer-urls: http://a:1
initial-cluster:
  b: [http://b:2, http://b:1]
  a: http://a:1
`,
    );
    assert.deepEqual(
      config.listenClientUrls.map((one) => [one.host, one.port]),
      [
        ["127.0.0.1", 2379],
        ["::1", 2379],
      ],
    );
    assert.deepEqual(config.initialCluster, [
      { name: "a", peerUrls: ["http://a:1"] },
      { name: "b", peerUrls: ["http://b:1", "http://b:2"] },
    ]);
  });
});

describe("an unknown name", () => {
  it("is an error that names the nearest flag, variable or key", () => {
    assert.equal(
      complaint(["--listen-client-url=x"]),
      "unknown flag --listen-client-url; did you mean --listen-client-urls?",
    );
    assert.equal(
      complaint([], { QUORATE_HEARTBEAT_INTERVALL: "1" }),
      "unknown environment variable QUORATE_HEARTBEAT_INTERVALL; did you mean QUORATE_HEARTBEAT_INTERVAL?",
    );
    assert.equal(
      complaint(["--config-file", "q.yaml"], {}, "nmae: a\n"),
      'unknown option "nmae" in q.yaml; did you mean name?',
    );
    assert.equal(complaint(["--zzzzzzzzzz"]), "unknown flag --zzzzzzzzzz");
  });

  it("is told from an option of etcd that this version lacks", () => {
    assert.equal(complaint(["--cert-file=x"]), "flag --cert-file is not available in this version");
    assert.equal(complaint(["--consensus=zab"]), "--consensus: zab is not available in this version");
    assert.equal(
      complaint([], { QUORATE_CONSENSUS: "zab" }),
      "QUORATE_CONSENSUS: zab is not available in this version",
    );
  });

  it("is not what Kubernetes sets for a service called quorate", () => {
    const env = {
      QUORATE_SERVICE_HOST: "10.0.0.1",
      QUORATE_SERVICE_PORT: "2379",
      QUORATE_SERVICE_PORT_CLIENT: "2379",
      QUORATE_PORT: "tcp://10.0.0.1:2379",
      QUORATE_PORT_2379_TCP_ADDR: "10.0.0.1",
      QUORATE_CLIENT_SERVICE_HOST: "10.0.0.1",
    };
    assert.deepEqual(parse([], env), parse([]));
  });
});

describe("a wrong value", () => {
  const cases: readonly (readonly [argv: readonly string[], message: string])[] = [
    [["server"], 'unexpected argument "server"'],
    [["--name"], "--name needs a value"],
    [["--name="], '--name: expected some text, found ""'],
    [["--max-txn-ops=many"], '--max-txn-ops: expected a whole number, found "many"'],
    [["--max-txn-ops=1.5"], '--max-txn-ops: expected a whole number, found "1.5"'],
    [["--max-txn-ops=0"], "--max-txn-ops: must be between 1 and 1000000, found 0"],
    [["--cache-bytes=-1"], "--cache-bytes: must be 0 or more, found -1"],
    [["--cache-bytes=1TB"], '--cache-bytes: expected bytes such as 1048576 or 64MiB, found "1TB"'],
    [["--strict-reconfig-check=maybe"], '--strict-reconfig-check: expected true or false, found "maybe"'],
    [["--log-level=warning"], '--log-level: "warning" is none of debug, info, warn, error'],
    [["--log-level=inof"], '--log-level: "inof" is none of debug, info, warn, error; did you mean info?'],
    [
      ["--heartbeat-interval=201"],
      "--election-timeout (1000 ms) must be at least 5 times --heartbeat-interval (201 ms)",
    ],
    [["--election-timeout=50001"], "--election-timeout: must be between 5 and 50000, found 50001"],
    [
      ["--listen-client-urls=2379"],
      '--listen-client-urls: "2379" is not a URL such as http://127.0.0.1:2379',
    ],
    [
      ["--listen-client-urls=http://127.0.0.1"],
      '--listen-client-urls: "http://127.0.0.1" must have the form http://host:port',
    ],
    [
      ["--listen-client-urls=http://127.0.0.1:70000"],
      '--listen-client-urls: "http://127.0.0.1:70000" is not a URL such as http://127.0.0.1:2379',
    ],
    [
      ["--listen-client-urls=https://127.0.0.1:1"],
      '--listen-client-urls: "https://127.0.0.1:1": TLS is not available in this version',
    ],
    [
      ["--listen-client-urls=http://127.0.0.1:1/v3"],
      '--listen-client-urls: "http://127.0.0.1:1/v3" must not have a path, query or fragment',
    ],
    [
      ["--listen-client-urls=http://example.org:1"],
      '--listen-client-urls: "http://example.org:1" must have an IP address (or localhost) to listen on',
    ],
    [
      ["--listen-client-urls=http://127.0.0.1:1,http://localhost:1"],
      "--listen-client-urls: 127.0.0.1:1 is given twice",
    ],
    [["--listen-client-urls=,"], "--listen-client-urls: at least one URL is needed"],
    [
      ["--listen-peer-urls=http://localhost:2379"],
      "127.0.0.1:2379 is in both --listen-client-urls and --listen-peer-urls",
    ],
    [
      ["--listen-peer-urls=http://0.0.0.0:1"],
      "--initial-advertise-peer-urls is needed: nobody can reach http://0.0.0.0:1 (--listen-peer-urls)",
    ],
    [["--advertise-client-urls=http://a:0"], '--advertise-client-urls: "http://a:0": port 0 reaches nobody'],
    [["--initial-cluster=a"], '--initial-cluster: expected name=url, found "a"'],
    [["--initial-cluster=a=http://a:1"], "--initial-cluster: no member is named default (--name); it has a"],
    [
      ["--initial-cluster=default=http://a:1"],
      "--initial-cluster: default has http://a:1, but --initial-advertise-peer-urls has http://localhost:2380",
    ],
    [
      ["--initial-cluster=default=http://localhost:2380,b=http://localhost:2380"],
      "--initial-cluster: default and b have the same URL http://localhost:2380",
    ],
    [["--config-file=missing.yaml"], "cannot read --config-file missing.yaml: no such file: missing.yaml"],
  ];
  for (const [argv, message] of cases)
    it(`${argv.join(" ")}: ${message}`, () => {
      assert.equal(complaint(argv), message);
    });

  it("in a file is named with the file, and a broken file with the place", () => {
    assert.equal(
      complaint(["--config-file=q.yaml"], {}, "max-txn-ops: [1]\n"),
      "max-txn-ops in q.yaml: expected a whole number, found [1]",
    );
    assert.equal(
      complaint(["--config-file=q.yaml"], {}, "name: a\nname: b\n"),
      "q.yaml:2:1: Map keys must be unique",
    );
    assert.match(complaint(["--config-file=q.yaml"], {}, "name: [a\n"), /^q\.yaml:2:1: /);
    assert.equal(
      complaint(["--config-file=q.yaml"], {}, "- a\n"),
      'q.yaml: expected options as "name: value" lines',
    );
  });
});

describe("single values", () => {
  it("a lone --strict-reconfig-check means true, and does not eat the next flag", () => {
    const config = parse(["--strict-reconfig-check=false", "--strict-reconfig-check", "--name=a"]);
    assert.deepEqual([config.strictReconfigCheck, config.name], [true, "a"]);
  });

  it("a quota of 0 means 2 GiB and a negative one no limit", () => {
    assert.equal(parse(["--quota-backend-bytes=0"]).quotaBackendBytes, 2 ** 31);
    assert.equal(parse(["--quota-backend-bytes=-1"]).quotaBackendBytes, undefined);
    assert.equal(parse(["--quota-backend-bytes=8GiB"]).quotaBackendBytes, 8 * 2 ** 30);
  });

  it("what is listened on is advertised, and alone forms the cluster", () => {
    const config = parse([
      "--name=a",
      "--listen-peer-urls=http://127.0.0.1:5",
      "--listen-client-urls=http://127.0.0.1:0",
    ]);
    assert.deepEqual(config.advertiseClientUrls, ["http://127.0.0.1:0"]);
    assert.deepEqual(config.initialCluster, [{ name: "a", peerUrls: ["http://127.0.0.1:5"] }]);
  });
});

describe("parseServerConfig() on anything", () => {
  it("returns a config or throws a ConfigError, never anything else", () => {
    const flag = fc.constantFrom(...options.map((option) => option.name), "nonsense");
    const argument = fc
      .tuple(flag, fc.oneof(fc.string(), fc.integer().map(String)))
      .map(([name, value]) => `--${name}=${value}`);
    const yaml = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(..."name:- &*!{}[]\n\t'\"|>#%@a1,?") }),
      fc.tuple(flag, fc.jsonValue()).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`),
    );
    fc.assert(
      fc.property(fc.array(argument, { maxLength: 4 }), yaml, (argv, file) => {
        try {
          parse(["--config-file=f", ...argv], {}, file);
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error));
          assert.ok(!/[\r\n]/.test(error.message), JSON.stringify(error.message));
        }
      }),
      { numRuns: 1000 },
    );
  });
});
