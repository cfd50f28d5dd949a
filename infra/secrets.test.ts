import { describe, expect, it } from "vitest";
import { isSecretMark, type StackRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { AlternatingLoginSecret, LoginSecret, type SecretArgs, SigningKeySecret } from "./secrets.ts";

const args: SecretArgs = {
	prefix: "agentic-flow-test",
	purpose: "a-purpose",
	version: 3,
	keyArn: "arn:key",
	recoveryDays: 30,
	protect: true,
};
const usernames = { odd: "app_a", even: "app_b" };

const recordOf = (make: () => unknown) =>
	record({ project: "agentic-flow", stack: "test" }, async () => {
		make();
		return {};
	});

const namesOf = ({ resources }: StackRecord, type: string) =>
	resources.filter((one) => one.type.endsWith(`:${type}`)).map(({ name }) => name);

/** The one resource of a type. */
function only({ resources }: StackRecord, type: string) {
	const found = resources.filter((one) => one.type.endsWith(`:${type}`));
	if (found.length !== 1 || !found[0]) throw new Error(`${found.length} resources of type ${type}`);
	return found[0];
}

describe("every secret", () => {
	const kinds: [string, (version: number) => unknown][] = [
		["LoginSecret", (version) => new LoginSecret("it", { ...args, version, username: "app" }, {})],
		["AlternatingLoginSecret", (version) => new AlternatingLoginSecret("it", { ...args, version, usernames }, {})],
		["SigningKeySecret", (version) => new SigningKeySecret("it", { ...args, version }, {})],
	];

	it.each(kinds)("%s is encrypted with the given key, recoverable and protected", async (_kind, make) => {
		const secret = only(await recordOf(() => make(3)), "Secret");
		expect(secret.inputs).toEqual({ name: "agentic-flow-test/a-purpose", kmsKeyId: "arn:key", recoveryWindowInDays: 30 });
		expect(secret.protect).toBe(true);
	});

	it.each(kinds)("%s stores its value as a secret", async (_kind, make) => {
		const { inputs } = only(await recordOf(() => make(3)), "SecretVersion");
		expect(isSecretMark(inputs.secretString)).toBe(true);
	});

	it.each(kinds)("%s keeps the value before when its version goes up", async (_kind, make) => {
		expect(namesOf(await recordOf(() => make(3)), "RandomPassword")).toEqual(["it-v2", "it-v3"]);
		const after = await recordOf(() => make(4));
		expect(namesOf(after, "RandomPassword")).toEqual(["it-v3", "it-v4"]);
		const kept = (stack: StackRecord) => stack.resources.find(({ name }) => name === "it-v3")?.inputs;
		expect(kept(after)).toEqual(kept(await recordOf(() => make(3))));
	});

	it.each(kinds)("%s has something before its first version", async (_kind, make) => {
		expect(namesOf(await recordOf(() => make(1)), "RandomPassword")).toEqual(["it-v0", "it-v1"]);
	});

	it.each(kinds)("%s is made of letters and digits, which RDS, ElastiCache and URLs all take", async (_kind, make) => {
		const { resources } = await recordOf(() => make(3));
		for (const { inputs } of resources.filter(({ type }) => type.endsWith(":RandomPassword"))) {
			expect(inputs).toMatchObject({ length: 40, special: false });
		}
	});
});

describe("AlternatingLoginSecret", () => {
	it.each([
		[1, "app_a", "app_b"],
		[2, "app_b", "app_a"],
		[3, "app_a", "app_b"],
	])("version %i is the turn of %s, after %s", async (version, current, previous) => {
		const users: string[] = [];
		await recordOf(() => {
			const secret = new AlternatingLoginSecret("it", { ...args, version, usernames }, {});
			users.push(secret.current.username, secret.previous.username);
		});
		expect(users).toEqual([current, previous]);
	});
});
