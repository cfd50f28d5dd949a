import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { pageFiles } from "./routes/page.ts";
import { testApp } from "./testing.ts";

const folder = path.join(import.meta.dirname, "../page");

describe("the page at /", () => {
	it.each([
		["/", "text/html; charset=utf-8"],
		["/page/page.css", "text/css; charset=utf-8"],
		["/page/page.js", "text/javascript; charset=utf-8"],
		["/page/icon.svg", "image/svg+xml"],
	])("is served to everybody as it lies there: %s", async (url, type) => {
		const { anyone } = testApp();
		const answer = await anyone("GET", url);
		expect([answer.statusCode, answer.headers["content-type"]]).toEqual([200, type]);
		expect(answer.body).toBe(readFileSync(path.join(folder, pageFiles[url] as string), "utf8"));
		const again = await anyone("GET", url, undefined, { "if-none-match": String(answer.headers.etag) });
		expect([again.statusCode, again.body]).toEqual([304, ""]);
	});

	it("has every file that it asks for, and runs nothing that did not come with it", async () => {
		const { anyone } = testApp();
		for (const [url, file] of Object.entries(pageFiles)) {
			const { body, headers } = await anyone("GET", url);
			const asked = [...body.matchAll(/(?:src|href)="([^"]+)"|from "(\.\/[^"]+)"/g)].map(
				([, link, module]) => link ?? `/page/${module?.slice(2)}`,
			);
			for (const each of asked) expect(Object.keys(pageFiles), `${file} asks for ${each}`).toContain(each);
			expect(headers["content-security-policy"]).toMatch(
				/^default-src 'none'; script-src 'self'; style-src 'self'; .*frame-ancestors 'none'/,
			);
			expect(headers["content-security-policy"]).not.toMatch(/unsafe|http|\*/);
			expect(headers["x-content-type-options"]).toBe("nosniff");
			if (file !== "index.html") continue;
			expect(body).not.toMatch(/<script(?![^>]* src=)|<style| style=| on\w+=/);
		}
	});

	it("leaves what is not there as it was", async () => {
		const { anyone } = testApp();
		for (const [method, url] of [
			["GET", "/page/nothing.js"],
			["GET", "/page/index.html"],
			["GET", "/page/../page.ts"],
			["GET", "/index.html"],
			["POST", "/"],
		] as const) {
			const answer = await anyone(method, url);
			expect([answer.statusCode, answer.json().error], url).toEqual([404, "Not Found"]);
			expect(answer.headers["content-security-policy"]).toBe("default-src 'none'; frame-ancestors 'none'");
		}
	});

	it("is shed with the first, and not kept then", async () => {
		const { anyone } = testApp({ load: { level: () => 1 } });
		const answer = await anyone("GET", "/");
		expect([answer.statusCode, answer.headers["cache-control"]]).toEqual([503, "no-store"]);
	});
});
