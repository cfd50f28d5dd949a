import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { commandOf, env, SECRETS_DIR } from "../../app/contract.ts";
import type { Terminal } from "../../app/ports.ts";
import { terminalService } from "../../app/services/terminals.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { principalOf } from "../../app/ws/testing.ts";
import { freePort } from "../app/daemon.ts";
import { redisMissing, type StandaloneRedis, startRedis } from "../app/daemons.ts";
import { ask, until } from "../app/server-process.ts";
import { buildImage, findBase } from "./build.ts";
import { Container, podman, podmanMissing } from "./podman.ts";

const reason = podmanMissing ?? redisMissing;

/** What its pod has of root's rights. */
const capabilities = ["CHOWN", "KILL", "SETGID", "SETUID"].flatMap((name) => ["--cap-add", name]);

describe.skipIf(reason)(`the terminal hosts' image${reason ? `: ${reason}` : ""}`, () => {
	let noBase: string | null = null;
	let image: string;
	let redis: StandaloneRedis;
	let container: Container | undefined;
	const secrets = mkdtempSync(path.join(tmpdir(), "af-image-terminals-"));

	beforeAll(async () => {
		const found = await findBase();
		if ("missing" in found) {
			noBase = found.missing;
			return;
		}
		image = await buildImage(found.base, "terminal-host");
		redis = await startRedis();
		await redis.server.command("ACL", "SETUSER", "terminals", "on", ">secret", "~af:term:*", "&af:term:*", "+@all");
		mkdirSync(path.join(secrets, "redis-terminals"));
		for (const [name, text] of [
			["username", "terminals"],
			["password", "secret"],
		] as const) {
			writeFileSync(path.join(secrets, "redis-terminals", name), text);
			chmodSync(path.join(secrets, "redis-terminals", name), 0o440);
		}
	}, 900_000);

	beforeEach(({ skip }) => {
		if (noBase) skip(noBase);
	});

	afterAll(async () => {
		await container?.remove();
		await redis?.stop();
		rmSync(secrets, { recursive: true, force: true });
	});

	it("gives a shell a user of its own, with its pod's rights, and not the host's credential", async () => {
		const config = JSON.parse(await podman(["image", "inspect", "--format", "{{json .Config}}", image]));
		expect([...config.Entrypoint, ...config.Cmd]).toEqual(commandOf("terminal-host"));
		const port = await freePort();
		const environment = {
			[env.podIp]: "127.0.0.1",
			[env.port]: String(port),
			[env.redisState]: `${redis.host}:${redis.port}`,
			[env.redisTls]: "false",
			[env.drainSeconds]: "5",
			[env.terminalHomes]: "/home/terminals",
		};
		const more = [...capabilities, "--tmpfs", "/home/terminals:size=64m"];
		container = new Container(image, commandOf("terminal-host"), environment, { from: secrets, to: SECRETS_DIR }, more);
		await until(
			async () => (await ask(port, "/health/ready")).status === 200,
			() => `the host; it said ${container?.output}`,
			60_000,
		);
		const service = terminalService(
			{
				connect: (purpose, overrides) =>
					connectRedis(
						{ kind: "endpoint", host: redis.host, port: redis.port, tls: false, credentials: async () => null },
						purpose,
						overrides,
					),
				problem: () => {},
			},
			{ perPrincipal: 1, anonymous: false },
		);
		let output = "";
		let terminal: Terminal | null = null;
		let end: { exitCode: number | null } | null = null;
		terminal = await service.create(
			principalOf("ada"),
			{ cols: 200, rows: 24, cwd: null },
			{
				output(offset, data) {
					output += data;
					terminal?.follow(offset + data.length);
				},
				skipped: () => {},
				ended(how) {
					end = how;
				},
			},
		);
		terminal.follow(0);
		await terminal.input(`id -u; cat ${SECRETS_DIR}/redis-terminals/password; touch /srv/x; exit 7\r`);
		await until(
			() => end !== null,
			() => `its end; it wrote ${output}`,
		);
		expect(output).toMatch(/\r40\d{3}\r\n/);
		expect(output).toMatch(/password: Permission denied/);
		expect(output).toMatch(/touch: cannot touch '\/srv\/x'/);
		expect(end).toMatchObject({ exitCode: 7 });
		service.close();
		await container.terminate();
		expect(await container.exited).toBe(0);
	});
});
