/** Plain node:http that answers everything with the same 1 KB of JSON: as little as Node can do for an answer. Arguments: address, port. */
import { createServer } from "node:http";

const [address, port] = process.argv.slice(2);
const body = Buffer.from(JSON.stringify({ success: true, value: "x".repeat(990) }));
const headers = { "content-type": "application/json; charset=utf-8", "content-length": body.length };

createServer({ keepAliveTimeout: 180_000 }, (_request, response) => {
	response.writeHead(200, headers);
	response.end(body);
}).listen(Number(port), address, () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));
