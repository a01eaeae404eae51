import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  createFileRegistry,
  type DescFile,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_descriptor,
} from "@bufbuild/protobuf/wkt";
import { file_etcdserverpb_rpc } from "../gen/etcdserverpb/rpc_pb.js";
import { file_grpc_health_v1_health } from "../gen/grpc/health/v1/health_pb.js";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponseSchema,
} from "../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { type RawMethod, Status } from "./call.js";
import { HealthService } from "./health.js";
import { reflectionMethods } from "./reflection.js";
import { dial, serve } from "./testing/pair.js";
import { typedClient } from "./typed.js";

type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"]>;
type Answer = MessageShape<typeof ServerReflectionResponseSchema>["messageResponse"];

const kv: RawMethod = {
  kind: "unary",
  path: "/etcdserverpb.KV/Put",
  handle: (_, call) => call.respond(new Uint8Array()),
};

/** Asks a server of health and KV all questions on one stream. */
async function ask(
  t: Parameters<typeof serve>[0],
  questions: readonly Question[],
  schemas: readonly DescFile[] = [file_etcdserverpb_rpc, file_grpc_health_v1_health],
): Promise<Answer[]> {
  const served = [kv, ...new HealthService().methods()];
  const { port } = await serve(t, { methods: [...served, ...reflectionMethods(served, schemas)] });
  const client = typedClient(await dial(t, port), ServerReflection);
  async function* requests() {
    for (const messageRequest of questions) yield { host: "here", messageRequest };
  }
  const answers: Answer[] = [];
  for await (const response of client.serverReflectionInfo(requests())) {
    assert.equal(response.validHost, "here");
    assert.equal(response.originalRequest?.messageRequest.case, questions[answers.length]?.case);
    answers.push(response.messageResponse);
  }
  return answers;
}

/** A made-up file with one extension of google.protobuf.FileOptions. */
function fileWithExtension(): DescFile {
  const registry = createFileRegistry(
    create(FileDescriptorSetSchema, {
      file: [
        file_google_protobuf_descriptor.proto,
        {
          name: "extended.proto",
          syntax: "proto3",
          dependency: [file_google_protobuf_descriptor.proto.name],
          extension: [
            {
              name: "owner",
              number: 50_001,
              label: FieldDescriptorProto_Label.OPTIONAL,
              type: FieldDescriptorProto_Type.STRING,
              extendee: ".google.protobuf.FileOptions",
            },
          ],
        },
      ],
    }),
  );
  const file = registry.getFile("extended.proto") ?? registry.getFile("extended");
  assert.ok(file !== undefined);
  return file;
}

function filesOf(answer: Answer | undefined): FileDescriptorProto[] {
  assert.equal(answer?.case, "fileDescriptorResponse");
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

function namesOf(answer: Answer | undefined): string[] {
  return filesOf(answer).map(({ name }) => name);
}

test("the list names every service that has a method, reflection itself included", async (t) => {
  const [answer] = await ask(t, [{ case: "listServices", value: "*" }]);
  assert.equal(answer?.case, "listServicesResponse");
  assert.deepEqual(
    answer.value.service.map(({ name }) => name),
    [
      "etcdserverpb.KV",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ],
  );
});

test("a file comes with everything it imports, so that its descriptors can be built from one answer", async (t) => {
  const [answer] = await ask(t, [{ case: "fileContainingSymbol", value: "etcdserverpb.KV" }]);
  const files = filesOf(answer);
  assert.equal(files[0]?.name, file_etcdserverpb_rpc.proto.name);
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files.reverse() }));
  const service = registry.getService("etcdserverpb.KV");
  assert.deepEqual(service?.method.put?.input.fields.map(({ name }) => name).slice(0, 2), ["key", "value"]);
});

test("imports are not sent twice on one stream, the file asked for is", async (t) => {
  const [first, second, imported] = await ask(t, [
    { case: "fileContainingSymbol", value: "etcdserverpb.KV" },
    { case: "fileByFilename", value: file_etcdserverpb_rpc.proto.name },
    { case: "fileByFilename", value: "mvccpb/kv.proto" },
  ]);
  assert.deepEqual(namesOf(first).slice(1).sort(), ["authpb/auth.proto", "mvccpb/kv.proto"]);
  assert.deepEqual(namesOf(second), [file_etcdserverpb_rpc.proto.name]);
  assert.deepEqual(namesOf(imported), ["mvccpb/kv.proto"]);
});

for (const symbol of [
  "mvccpb.KeyValue",
  "mvccpb.Event.EventType",
  "mvccpb.Event.PUT",
  "mvccpb.KeyValue.mod_revision",
  "etcdserverpb.KV.Put",
  "etcdserverpb.RequestOp.request",
]) {
  test(`the file of the symbol ${symbol} is found`, async (t) => {
    const [answer] = await ask(t, [{ case: "fileContainingSymbol", value: symbol }]);
    const expected = symbol.startsWith("mvccpb") ? "mvccpb/kv.proto" : file_etcdserverpb_rpc.proto.name;
    assert.equal(namesOf(answer)[0], expected);
  });
}

test("extensions are found by the message they extend and their number", async (t) => {
  const extended = "google.protobuf.FileOptions";
  const schema = fileWithExtension();
  const [numbers, file, none] = await ask(
    t,
    [
      { case: "allExtensionNumbersOfType", value: extended },
      { case: "fileContainingExtension", value: { containingType: extended, extensionNumber: 50_001 } },
      { case: "fileContainingExtension", value: { containingType: extended, extensionNumber: 50_002 } },
    ],
    [schema],
  );
  assert.equal(numbers?.case, "allExtensionNumbersResponse");
  assert.deepEqual(numbers.value.extensionNumber, [50_001]);
  assert.deepEqual(namesOf(file), ["extended.proto", "google/protobuf/descriptor.proto"]);
  assert.equal(none?.case, "errorResponse");
});

test("what does not exist is answered NOT_FOUND, and the stream goes on", async (t) => {
  const answers = await ask(t, [
    { case: "fileContainingSymbol", value: "etcdserverpb.Nothing" },
    { case: "fileByFilename", value: "nothing.proto" },
    { case: "allExtensionNumbersOfType", value: "etcdserverpb.Nothing" },
    { case: "listServices", value: "" },
  ]);
  assert.deepEqual(
    answers.map((answer) => (answer.case === "errorResponse" ? answer.value.errorCode : answer.case)),
    [Status.NOT_FOUND, Status.NOT_FOUND, Status.NOT_FOUND, "listServicesResponse"],
  );
});

test("a request without a question ends the stream with INVALID_ARGUMENT", async (t) => {
  const { port } = await serve(t, { methods: reflectionMethods([], []) });
  const client = typedClient(await dial(t, port), ServerReflection);
  async function* requests() {
    yield { host: "here" };
  }
  const responses = client.serverReflectionInfo(requests())[Symbol.asyncIterator]();
  await assert.rejects(responses.next(), { code: Status.INVALID_ARGUMENT });
});

test("v1alpha answers as v1 does", async (t) => {
  const { port } = await serve(t, { methods: reflectionMethods([kv], [file_etcdserverpb_rpc]) });
  const client = typedClient(await dial(t, port), ServerReflectionAlpha);
  async function* requests() {
    yield { messageRequest: { case: "fileContainingSymbol", value: "mvccpb.KeyValue" } } as const;
  }
  for await (const { messageResponse } of client.serverReflectionInfo(requests())) {
    assert.equal(messageResponse.case, "fileDescriptorResponse");
    const [bytes] = messageResponse.value.fileDescriptorProto;
    assert.equal(fromBinary(FileDescriptorProtoSchema, bytes!).name, "mvccpb/kv.proto");
  }
});
