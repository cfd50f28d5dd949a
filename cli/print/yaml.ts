import { stringify } from "yaml";
import type { RecordedValue } from "../../core/record.ts";

/**
 * An object as YAML that kubectl reads as the very same object. It reads YAML 1.1, where `yes` and `0755` are no texts
 * unless they are in quotes.
 */
export function yamlOf(object: { readonly [key: string]: RecordedValue }): string {
	return stringify(object, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false, blockQuote: "literal" });
}
