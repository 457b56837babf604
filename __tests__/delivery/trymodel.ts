import { runClusterModel } from './cluster-model';
const t = Date.now();
runClusterModel(Number(process.env.SEED ?? 1), Number(process.argv[2] ?? 20)).then(
  () => {
    console.log('ok', Date.now() - t);
    process.exit();
  },
  (e) => {
    console.log(e.message);
    process.exit(1);
  },
);
