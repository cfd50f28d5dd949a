import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Makes a certificate of its own for localhost; the file holds it and its key. */
export function certificateIn(folder: string): string {
	const [key, certificate, both] = ["key", "certificate", "both.pem"].map((name) => join(folder, name)) as [string, string, string];
	const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost"];
	execFileSync("openssl", ["req", ...kind, "-keyout", key, "-out", certificate], { stdio: "ignore" });
	writeFileSync(both, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"));
	return both;
}
