import { Certificate } from "@pulumi/aws/acm/certificate.js";
import { CertificateValidation } from "@pulumi/aws/acm/certificateValidation.js";
import { Record as DnsRecord } from "@pulumi/aws/route53/record.js";
import type { output } from "@pulumi/aws/types/index.js";
import * as pulumi from "@pulumi/pulumi";

type Proof = output.acm.CertificateDomainValidationOption;

/** Seconds that resolvers keep a validation record: it is asked for once, then at each renewal. */
const RECORD_TTL_SECONDS = 300;

export interface DomainCertificateArgs {
	/** Every name on the certificate, the first one foremost. */
	readonly domainNames: readonly [string, ...string[]];
	/** The public Route 53 zone that holds all of them. */
	readonly hostedZoneId: string;
}

/** A certificate from ACM, proven through DNS. */
export class DomainCertificate extends pulumi.ComponentResource {
	/** Known once the certificate is valid: a listener refuses one that is not. */
	readonly arn: pulumi.Output<string>;

	constructor(name: string, args: DomainCertificateArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:DomainCertificate", name, {}, opts);
		const [domainName, ...subjectAlternativeNames] = args.domainNames;
		const certificate = new Certificate(
			`${name}-certificate`,
			{ domainName, subjectAlternativeNames, validationMethod: "DNS" },
			{ parent: this },
		);
		const records = args.domainNames.map((domain) => this.createRecord(name, args, certificate, domain));
		const validation = new CertificateValidation(
			`${name}-validation`,
			{ certificateArn: certificate.arn, validationRecordFqdns: records.map(({ fqdn }) => fqdn) },
			{ parent: this },
		);
		this.arn = validation.certificateArn;
		this.registerOutputs({ arn: this.arn });
	}

	private createRecord(name: string, args: DomainCertificateArgs, certificate: Certificate, domain: string): DnsRecord {
		// ACM lists the proofs it wants in no order, so each is looked up by its domain.
		const proof = certificate.domainValidationOptions.apply((options) => proofOf(domain, options));
		return new DnsRecord(
			`${name}-proof-${domain}`,
			{
				zoneId: args.hostedZoneId,
				name: proof.apply(({ resourceRecordName }) => resourceRecordName as string),
				type: proof.apply(({ resourceRecordType }) => resourceRecordType as string),
				records: [proof.apply(({ resourceRecordValue }) => resourceRecordValue as string)],
				ttl: RECORD_TTL_SECONDS,
				// The proof of a name is the same for every certificate of the account, and may be there already.
				allowOverwrite: true,
			},
			{ parent: this },
		);
	}
}

/** A provider that is not AWS's own may have no list at all; one that has it must name the domain. */
function proofOf(domain: string, options: readonly Proof[] | undefined): Partial<Proof> {
	if (!options) return {};
	const found = options.find(({ domainName }) => domainName === domain);
	if (!found) throw new Error(`ACM asks for no proof of ${domain}`);
	return found;
}
