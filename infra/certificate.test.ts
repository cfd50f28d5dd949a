import { describe, expect, it } from "vitest";
import type { StackRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { DomainCertificate } from "./certificate.ts";

/** What ACM answers, in the order given. */
function stackOf(proven: readonly string[]): Promise<StackRecord> {
	const domainValidationOptions = proven.map((domainName) => ({
		domainName,
		resourceRecordName: `_proof.${domainName}`,
		resourceRecordType: "CNAME",
		resourceRecordValue: `value-of-${domainName}`,
	}));
	const answer = (type: string) => (type === "aws:acm/certificate:Certificate" ? { domainValidationOptions } : {}) as Record<string, never>;
	return record({ project: "agentic-flow", stack: "test", answer }, async () => {
		new DomainCertificate("tls", { domainNames: ["flow.example.com", "www.flow.example.com"], hostedZoneId: "Z123" }, {});
		return {};
	});
}

describe("DomainCertificate", () => {
	it("proves each name with its own record, in whatever order ACM asks", async () => {
		const { resources } = await stackOf(["www.flow.example.com", "flow.example.com"]);
		const records = resources.filter(({ type }) => type === "aws:route53/record:Record");
		expect(records.map(({ name, inputs }) => [name, inputs.name, inputs.type, inputs.records])).toEqual([
			["tls-proof-flow.example.com", "_proof.flow.example.com", "CNAME", ["value-of-flow.example.com"]],
			["tls-proof-www.flow.example.com", "_proof.www.flow.example.com", "CNAME", ["value-of-www.flow.example.com"]],
		]);
	});

	it("stops when ACM does not ask for the proof of a name", async () => {
		await expect(stackOf(["flow.example.com"])).rejects.toThrow("ACM asks for no proof of www.flow.example.com");
	});
});
