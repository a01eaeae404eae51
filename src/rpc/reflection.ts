// gRPC server reflection, v1 and v1alpha: tells clients which services are served and hands out their
// schema files, so that grpcurl and its like need no .proto files. Answers match grpc-go's.

import {
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  file_grpc_reflection_v1_reflection,
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "../gen/grpc/reflection/v1/reflection_pb.js";
import {
  file_grpc_reflection_v1alpha_reflection,
  ServerReflection as ServerReflectionAlpha,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { type RawMethod, RpcError, Status } from "./call.js";
import { serviceMethods } from "./typed.js";

type Response = MessageInitShape<typeof ServerReflectionResponseSchema>;
type Answer = NonNullable<Response["messageResponse"]>;

/**
 * The methods of both reflection services. They list the services that `served` has methods of (and
 * themselves) and answer from `files` and what those import.
 */
export function reflectionMethods(served: Iterable<RawMethod>, files: Iterable<DescFile>): RawMethod[] {
  const own = [file_grpc_reflection_v1_reflection, file_grpc_reflection_v1alpha_reflection];
  const services = new Set([ServerReflection.typeName, ServerReflectionAlpha.typeName]);
  for (const { path } of served) services.add(path.slice(1, path.lastIndexOf("/")));
  const schemas = new Schemas([...files, ...own], [...services].sort());
  const methods = serviceMethods(ServerReflection, {
    serverReflectionInfo: (requests) => converse(schemas, requests),
  });
  // Byte for byte the same messages, under another package name.
  const older = methods.map((method) => ({
    ...method,
    path: method.path.replace(ServerReflection.typeName, ServerReflectionAlpha.typeName),
  }));
  return [...methods, ...older];
}

type Question = Pick<ServerReflectionRequest, "host" | "messageRequest">;

async function* converse(schemas: Schemas, requests: AsyncIterable<Question>): AsyncGenerator<Response> {
  const sent = new Set<DescFile>();
  for await (const { host, messageRequest } of requests) {
    yield {
      validHost: host,
      originalRequest: { host, messageRequest },
      messageResponse: schemas.answer(messageRequest, sent),
    };
  }
}

/** What is known about schemas, indexed by everything that can be asked for. */
class Schemas {
  private readonly files = new Map<string, DescFile>();
  private readonly symbols = new Map<string, DescFile>();
  /** By the full name of the message they extend, then by number. */
  private readonly extensions = new Map<string, Map<number, DescFile>>();
  private readonly encoded = new Map<DescFile, Uint8Array>();

  constructor(
    files: readonly DescFile[],
    private readonly services: readonly string[],
  ) {
    for (const file of files) this.addFile(file);
  }

  answer(question: Question["messageRequest"], sent: Set<DescFile>): Answer {
    switch (question.case) {
      case "fileByFilename":
        return this.fileAnswer(this.files.get(question.value), question.value, sent);
      case "fileContainingSymbol":
        return this.fileAnswer(this.symbols.get(question.value), question.value, sent);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const file = this.extensions.get(containingType)?.get(extensionNumber);
        return this.fileAnswer(file, `extension ${extensionNumber} of ${containingType}`, sent);
      }
      case "allExtensionNumbersOfType":
        return this.extensionNumbers(question.value);
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: this.services.map((name) => ({ name })) },
        };
      case undefined:
        throw new RpcError(Status.INVALID_ARGUMENT, "the reflection request asks nothing that is known");
      default:
        return question satisfies never;
    }
  }

  private fileAnswer(file: DescFile | undefined, name: string, sent: Set<DescFile>): Answer {
    if (file === undefined) return notFound(name);
    const files: DescFile[] = [];
    collect(file, sent, files);
    // Asked for again on the same stream, a file is sent again; only its imports are left out.
    if (files.length === 0) files.push(file);
    return {
      case: "fileDescriptorResponse",
      value: { fileDescriptorProto: files.map((one) => this.encode(one)) },
    };
  }

  private extensionNumbers(name: string): Answer {
    if (!this.symbols.has(name)) return notFound(name);
    const extensionNumber = [...(this.extensions.get(name)?.keys() ?? [])].sort((a, b) => a - b);
    return { case: "allExtensionNumbersResponse", value: { baseTypeName: name, extensionNumber } };
  }

  private encode(file: DescFile): Uint8Array {
    let bytes = this.encoded.get(file);
    if (bytes === undefined) {
      bytes = toBinary(FileDescriptorProtoSchema, file.proto);
      this.encoded.set(file, bytes);
    }
    return bytes;
  }

  private addFile(file: DescFile): void {
    if (this.files.has(file.proto.name)) return;
    this.files.set(file.proto.name, file);
    for (const dependency of file.dependencies) this.addFile(dependency);
    for (const message of file.messages) this.addMessage(message);
    for (const enumeration of file.enums) this.addEnum(enumeration);
    for (const extension of file.extensions) this.addExtension(extension);
    for (const service of file.services) {
      this.symbols.set(service.typeName, file);
      for (const method of service.methods) this.symbols.set(methodName(method), file);
    }
  }

  private addMessage(message: DescMessage): void {
    const { file, typeName } = message;
    this.symbols.set(typeName, file);
    for (const { name } of [...message.fields, ...message.oneofs])
      this.symbols.set(`${typeName}.${name}`, file);
    for (const nested of message.nestedMessages) this.addMessage(nested);
    for (const enumeration of message.nestedEnums) this.addEnum(enumeration);
    for (const extension of message.nestedExtensions) this.addExtension(extension);
  }

  private addEnum(enumeration: DescEnum): void {
    const { file, typeName } = enumeration;
    this.symbols.set(typeName, file);
    // Values live beside their enum, not in it.
    const scope = typeName.slice(0, typeName.lastIndexOf(".") + 1);
    for (const { name } of enumeration.values) this.symbols.set(scope + name, file);
  }

  private addExtension(extension: DescExtension): void {
    this.symbols.set(extension.typeName, extension.file);
    const extended = extension.extendee.typeName;
    const numbers = this.extensions.get(extended) ?? new Map<number, DescFile>();
    numbers.set(extension.number, extension.file);
    this.extensions.set(extended, numbers);
  }
}

function methodName(method: DescMethod): string {
  return `${method.parent.typeName}.${method.name}`;
}

/** The file behind everything it imports that was not sent yet, itself first. */
function collect(file: DescFile, sent: Set<DescFile>, into: DescFile[]): void {
  if (sent.has(file)) return;
  sent.add(file);
  into.push(file);
  for (const dependency of file.dependencies) collect(dependency, sent, into);
}

function notFound(name: string): Answer {
  return {
    case: "errorResponse",
    value: { errorCode: Status.NOT_FOUND, errorMessage: `not found: ${name}` },
  };
}
