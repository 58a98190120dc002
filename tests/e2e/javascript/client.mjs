// What a program of the AWS SDK for JavaScript does with a KMS; prints one line of JSON with what it saw.
import {
  CreateAliasCommand, CreateKeyCommand, DecryptCommand, DescribeKeyCommand, EncryptCommand, GenerateDataKeyCommand,
  InvalidCiphertextException, KMSClient, NotFoundException, paginateListKeys, SignCommand, VerifyCommand,
} from "@aws-sdk/client-kms";
import { createPublicKey, randomUUID, verify } from "node:crypto";
import { GetPublicKeyCommand } from "@aws-sdk/client-kms";

const kms = new KMSClient({}); // endpoint, Region and credentials come from AWS_* variables, the CA from NODE_EXTRA_CA_CERTS
const seen = {};
const context = { table: "orders", "ключ": "значение" };

const { KeyMetadata: key } = await kms.send(new CreateKeyCommand({ Description: "JavaScript" }));
seen.created = key.CreationDate instanceof Date;
const alias = `alias/javascript-${randomUUID()}`;
await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: key.KeyId }));
const described = await kms.send(new DescribeKeyCommand({ KeyId: alias }));
seen.described = described.KeyMetadata.Arn === key.Arn;

const message = new TextEncoder().encode("from JavaScript");
const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: alias, Plaintext: message, EncryptionContext: context }));
const opened = await kms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: context }));
seen.opened = Buffer.compare(opened.Plaintext, message) === 0;

const dataKey = await kms.send(new GenerateDataKeyCommand({ KeyId: alias, KeySpec: "AES_256" }));
const again = await kms.send(new DecryptCommand({ CiphertextBlob: dataKey.CiphertextBlob, KeyId: alias }));
seen.dataKey = dataKey.Plaintext.length === 32 && Buffer.compare(again.Plaintext, dataKey.Plaintext) === 0;

const signer = (await kms.send(new CreateKeyCommand({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" }))).KeyMetadata.KeyId;
const algorithm = { KeyId: signer, Message: message, SigningAlgorithm: "ECDSA_SHA_256" };
const { Signature } = await kms.send(new SignCommand(algorithm));
seen.verified = (await kms.send(new VerifyCommand({ ...algorithm, Signature }))).SignatureValid;
const { PublicKey } = await kms.send(new GetPublicKeyCommand({ KeyId: signer }));
const ours = createPublicKey({ key: Buffer.from(PublicKey), format: "der", type: "spki" });
seen.verifiedByNode = verify("sha256", message, ours, Signature);

const refusal = async (command) => kms.send(command).then(() => null, (error) => error);
const wrong = await refusal(new DecryptCommand({ CiphertextBlob, EncryptionContext: { table: "others" } }));
seen.wrongContext = wrong instanceof InvalidCiphertextException && wrong.$metadata.httpStatusCode === 400;
const missing = await refusal(new DescribeKeyCommand({ KeyId: "alias/nothing" }));
seen.missing = missing instanceof NotFoundException && missing.message.includes("alias/nothing is not found");

let count = 0;
for await (const page of paginateListKeys({ client: kms, pageSize: 1 }, {})) count += page.Keys.length;
seen.paged = count >= 2;
console.log(JSON.stringify(seen));
