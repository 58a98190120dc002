// The AWS Encryption SDK for JavaScript: opens the message of another implementation, and seals one for it.
// Arguments: ARN of a key, a plaintext. Standard input: a sealed message in base64. Prints one line of JSON.
import { buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import { readFileSync } from "node:fs";

const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const [generatorKeyId, text] = process.argv.slice(2);
const keyring = new KmsKeyringNode({ generatorKeyId }); // its clients take endpoint and credentials from AWS_* variables
const context = { table: "orders", "ключ": "значение" };

const foreign = Buffer.from(readFileSync(0, "utf8"), "base64");
const { plaintext, messageHeader } = await decrypt(keyring, foreign);
const { result } = await encrypt(keyring, text, { encryptionContext: context });
const own = await decrypt(keyring, result);

const tampered = Buffer.from(foreign);
tampered[tampered.length - 1] ^= 1;
const refused = await decrypt(keyring, tampered).then(() => false, () => true);
const contextOf = (header) => Object.entries(context).every(([name, value]) => header.encryptionContext[name] === value);
console.log(JSON.stringify({
  seen: {
    foreign: plaintext.toString() === text,
    foreignContext: contextOf(messageHeader),
    own: own.plaintext.toString() === text,
    ownContext: contextOf(own.messageHeader),
    refused,
  },
  sealed: result.toString("base64"),
}));
