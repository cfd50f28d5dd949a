import { expect, it } from "vitest";
import { allow, blocks, podsOf } from "./network-policies.ts";

it("a policy speaks only of the directions it has rules for", () => {
	const rule = { peers: [podsOf("haproxy", "edge")], ports: [3101] };
	expect(allow("server", { ingress: [rule], egress: [] }).policyTypes).toEqual(["Ingress"]);
	expect(allow("server", { ingress: [], egress: [rule] }).policyTypes).toEqual(["Egress"]);
});

it.each([
	["peers", { peers: blocks([]), ports: [5432] }],
	["ports", { peers: blocks(["10.0.96.0/24"]), ports: [] }],
])("a rule without %s is refused, for it would allow all of them", (_what, rule) => {
	expect(() => allow("server", { ingress: [], egress: [rule] })).toThrow("a network policy for server would allow everything");
});
