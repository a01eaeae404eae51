// Comments of a schema's elements, which the descriptors keep apart, by the path of numbers that leads
// to the element (descriptor.proto, SourceCodeInfo).

import type {
  DescEnum,
  DescField,
  DescFile,
  DescMessage,
  DescMethod,
  DescOneof,
  DescService,
  FileRegistry,
} from "@bufbuild/protobuf";

type Element =
  | DescMessage
  | DescEnum
  | DescField
  | DescOneof
  | DescService
  | DescMethod
  | DescEnum["values"][number];

// Field numbers within FileDescriptorProto, DescriptorProto, EnumDescriptorProto, ServiceDescriptorProto.
const inFile = { message: 4, enum: 5, service: 6 };
const inMessage = { field: 2, nested: 3, enum: 4, oneof: 8 };
const enumValue = 2;
const serviceMethod = 2;

export class Comments {
  /** By "file path". */
  private readonly texts = new Map<string, string>();

  constructor(schemas: FileRegistry) {
    for (const file of schemas.files) {
      for (const { path, leadingComments } of file.proto.sourceCodeInfo?.location ?? []) {
        const text = leadingComments.trim().replaceAll(/\s*\n\s*/g, " ");
        this.texts.set(`${file.name} ${path.join(".")}`, text);
      }
    }
  }

  /** The comment before the element as one line; empty when there is none. */
  of(element: Element): string {
    return this.texts.get(`${fileOf(element).name} ${pathOf(element).join(".")}`) ?? "";
  }
}

function fileOf(element: Element): DescFile {
  switch (element.kind) {
    case "message":
    case "enum":
    case "service":
      return element.file;
    case "enum_value":
      return element.parent.file;
    case "field":
    case "oneof":
    case "rpc":
      return element.parent.file;
    default:
      return element satisfies never;
  }
}

function pathOf(element: Element): readonly number[] {
  switch (element.kind) {
    case "message":
      return element.parent === undefined
        ? [inFile.message, element.file.messages.indexOf(element)]
        : [...pathOf(element.parent), inMessage.nested, element.parent.nestedMessages.indexOf(element)];
    case "enum":
      return element.parent === undefined
        ? [inFile.enum, element.file.enums.indexOf(element)]
        : [...pathOf(element.parent), inMessage.enum, element.parent.nestedEnums.indexOf(element)];
    case "service":
      return [inFile.service, element.file.services.indexOf(element)];
    case "enum_value":
      return [...pathOf(element.parent), enumValue, element.parent.values.indexOf(element)];
    case "field":
      return [...pathOf(element.parent), inMessage.field, element.parent.fields.indexOf(element)];
    case "oneof":
      return [...pathOf(element.parent), inMessage.oneof, element.parent.oneofs.indexOf(element)];
    case "rpc":
      return [...pathOf(element.parent), serviceMethod, element.parent.methods.indexOf(element)];
    default:
      return element satisfies never;
  }
}
